# DBD::Pg: statements prepared at their second run, deallocated by SQL, savepoints, COPY, LISTEN.

use strict;
use warnings;

use DBD::Pg qw(:async);
use DBI;
use JSON::PP;
use Time::HiRes qw(time);

my $count = $ENV{CONFORMANCE_CLIENTS};
my $settings = decode_json($ENV{CONFORMANCE_SETTINGS});
my $LOOK = $ENV{CONFORMANCE_LOOK};

sub connection {
    my ($number, %more) = @_;
    my $connection = DBI->connect("dbi:Pg:", "", "", { RaiseError => 1, PrintError => 0, AutoCommit => 1, %more });
    $connection->do($_) for @{ $settings->[$number] };
    $connection->commit unless $connection->{AutoCommit};
    return $connection;
}

sub caught {
    my ($saw, $work) = @_;
    push @$saw, eval { $work->(); 1 } ? "no error" : [ $DBI::state, $DBI::errstr ];
}

my @cases = (
    settings => sub {
        my ($number) = @_;
        my $connection = connection($number, AutoCommit => 0);
        my @saw;
        for my $turn (0 .. 7) {
            push @saw, $connection->selectall_arrayref($LOOK);
            $turn % 2 ? $connection->commit : $connection->rollback;
        }
        $connection->do("set timezone to 'Asia/Tokyo'");
        $connection->rollback;
        push @saw, $connection->selectall_arrayref($LOOK);
        push @saw, $connection->{pg_server_version} > 0 ? 1 : 0, $connection->ping;
        $connection->disconnect;
        return \@saw;
    },
    statements_kept => sub {
        my ($number) = @_;
        my $connection = connection($number);
        my @statements = map { $connection->prepare("select $_ * 100 + ?::int, current_setting('timezone')") } 0 .. 4;
        my @saw;
        for my $turn (0 .. 5) {
            for my $statement (@statements) {
                $statement->execute($number + $turn);
                push @saw, $statement->fetchall_arrayref;
            }
        }
        # Statements end here, while the connection is in use: DEALLOCATE by SQL.
        return \@saw;
    },
    statements_deallocated => sub {
        my ($number) = @_;
        my $connection = connection($number, pg_switch_prepared => 1);
        my @saw;
        for my $turn (0 .. 3) {
            for my $text (0 .. 4) {
                my $statement = $connection->prepare("select $text * 100 + ?::int");
                for my $again (0 .. 2) {
                    $statement->execute($number + $again);
                    push @saw, $statement->fetchall_arrayref;
                }
            }
        }
        $connection->begin_work;
        for my $text (0 .. 2) {
            push @saw, $connection->selectall_arrayref("select $text + ?::int", undef, $number);
        }
        $connection->commit;
        push @saw, $connection->selectall_arrayref("select 'after'");
        return \@saw;
    },
    transactions => sub {
        my ($number) = @_;
        my $connection = connection($number);
        my @saw;
        $connection->do("create table perl_rows (a int primary key, b text)");
        $connection->begin_work;
        $connection->do("insert into perl_rows values (?, ?)", undef, 1, "client $number");
        $connection->pg_savepoint("here");
        caught(\@saw, sub { $connection->do("insert into perl_rows values (1)") });
        $connection->pg_rollback_to("here");
        push @saw, $connection->selectall_arrayref("select * from perl_rows");
        $connection->commit;
        push @saw, $connection->do("copy perl_rows from stdin");
        $connection->pg_putcopydata("$_\trow\n") for 10 .. 200;
        $connection->pg_putcopyend;
        push @saw, $connection->selectrow_array("select count(*) from perl_rows");
        my $columns = $connection->column_info(undef, "client_$number", "perl_rows", "%");
        push @saw, [ map { $_->[3] } @{ $columns->fetchall_arrayref } ];
        $connection->do("drop table perl_rows");
        return \@saw;
    },
    asynchronous => sub {
        my ($number) = @_;
        my $connection = connection($number);
        my @saw;
        for my $turn (0 .. 3) {
            my $statement = $connection->prepare("select ?::int + $number", { pg_async => PG_ASYNC });
            $statement->execute($turn);
            push @saw, $statement->pg_result, $statement->fetchall_arrayref;
        }
        push @saw, $connection->selectall_arrayref($LOOK);
        return \@saw;
    },
    notifications => sub {
        my ($number) = @_;
        my ($listener, $other) = (connection($number), connection($number));
        my @saw;
        $listener->do("listen perl_$number");
        $other->do("notify perl_$number, '$_'") for 0 .. 2;
        my $deadline = time + 15;
        while (@saw < 3 && time < $deadline) {
            while (my $one = $listener->pg_notifies) { push @saw, [ $one->[0], $one->[2] ] }
            select undef, undef, undef, 0.02;
        }
        return \@saw;
    },
    temporary_tables => sub {
        my ($number) = @_;
        my $connection = connection($number);
        my @saw;
        $connection->do("create temp table marks (mark int)");
        for my $turn (0 .. 4) {
            $connection->do("insert into marks values (?)", undef, $number + $turn);
            push @saw, $connection->selectrow_array("select sum(mark) from marks");
        }
        $connection->do("drop table marks");
        caught(\@saw, sub { $connection->do("select * from marks") });
        return \@saw;
    },
);

my $json = JSON::PP->new->canonical->allow_nonref;
while (my ($name, $case) = splice @cases, 0, 2) {
    next unless $name =~ /$ENV{CONFORMANCE_CASES}/;
    my @children;
    for my $number (0 .. $count - 1) {
        my $child = fork // die "fork: $!";
        if (!$child) {
            my $began = time;
            my $saw = eval { $case->($number) };
            my %result = defined $saw ? (saw => $saw) : (error => "$@", trace => "");
            syswrite STDOUT, $json->encode({ client => $number, case => $name, seconds => time - $began, %result }) . "\n";
            exit 0;
        }
        push @children, $child;
    }
    waitpid $_, 0 for @children;
}
