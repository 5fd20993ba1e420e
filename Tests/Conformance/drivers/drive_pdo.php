<?php
// PDO and pg_* of PHP: statements prepared once and deallocated by SQL, persistent settings, COPY, LISTEN.

$count = (int) getenv("CONFORMANCE_CLIENTS");
$allSettings = json_decode(getenv("CONFORMANCE_SETTINGS"));
$LOOK = getenv("CONFORMANCE_LOOK");

function connect(int $number, array $options = []): PDO {
    global $allSettings;
    $address = sprintf("pgsql:host=%s;port=%s;dbname=%s", getenv("PGHOST"), getenv("PGPORT"), getenv("PGDATABASE"));
    $connection = new PDO($address, getenv("PGUSER"), getenv("PGPASSWORD"),
        $options + [PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION]);
    foreach ($allSettings[$number] as $statement) $connection->exec($statement);
    return $connection;
}

function rows(PDO $connection, string $query, array $values = []): array {
    $statement = $connection->prepare($query);
    $statement->execute($values);
    return $statement->fetchAll(PDO::FETCH_NUM);
}

function caught(array &$saw, callable $work): void {
    try {
        $work();
        $saw[] = "no error";
    } catch (PDOException $error) {
        $saw[] = $error->getMessage();
    }
}

$cases = [
    "settings" => function (int $number) use ($LOOK) {
        $saw = [];
        $connection = connect($number);
        for ($turn = 0; $turn < 8; $turn++) $saw[] = $connection->query($LOOK)->fetchAll(PDO::FETCH_NUM);
        $connection->beginTransaction();
        $connection->exec("set timezone to 'Asia/Tokyo'");
        $saw[] = $connection->query($LOOK)->fetchAll(PDO::FETCH_NUM);
        $connection->rollBack();
        for ($turn = 0; $turn < 3; $turn++) $saw[] = $connection->query($LOOK)->fetchAll(PDO::FETCH_NUM);
        $saw[] = $connection->getAttribute(PDO::ATTR_SERVER_VERSION) !== null;
        return $saw;
    },
    // Each prepare is a Parse under a name, each statement's end a DEALLOCATE of that name.
    "statements_deallocated" => function (int $number) {
        $saw = [];
        $connection = connect($number);
        for ($turn = 0; $turn < 4; $turn++) {
            for ($text = 0; $text < 5; $text++) $saw[] = rows($connection, "select $text * 100 + ?::int", [$number]);
        }
        $connection->beginTransaction();
        for ($text = 0; $text < 5; $text++) $saw[] = rows($connection, "select $text * 7 + ?::int", [$number]);
        $connection->commit();
        $saw[] = rows($connection, "select count(*) from public.numbers where n <= :n", ["n" => $number]);
        return $saw;
    },
    "statements_kept" => function (int $number) use ($LOOK) {
        $saw = [];
        $connection = connect($number);
        $statements = [];
        for ($text = 0; $text < 5; $text++) {
            $statements[] = $connection->prepare("select $text * 100 + ?::int, current_setting('timezone')");
        }
        for ($turn = 0; $turn < 5; $turn++) {
            foreach ($statements as $statement) {
                $statement->execute([$number + $turn]);
                $saw[] = $statement->fetchAll(PDO::FETCH_NUM);
            }
            caught($saw, fn () => rows($connection, "select 1 / ?::int", [0]));
        }
        $saw[] = $connection->query($LOOK)->fetchAll(PDO::FETCH_NUM);
        return $saw;
    },
    "emulated" => function (int $number) use ($LOOK) {
        $saw = [];
        $connection = connect($number, [PDO::ATTR_EMULATE_PREPARES => true]);
        for ($turn = 0; $turn < 8; $turn++) $saw[] = rows($connection, "select ? || 'x', current_user", [$turn]);
        $connection->setAttribute(PDO::PGSQL_ATTR_DISABLE_PREPARES, true);
        $connection->setAttribute(PDO::ATTR_EMULATE_PREPARES, false);
        for ($turn = 0; $turn < 8; $turn++) $saw[] = rows($connection, "select ?::text || 'y'", [$turn]);
        $saw[] = $connection->query($LOOK)->fetchAll(PDO::FETCH_NUM);
        return $saw;
    },
    "cursors" => function (int $number) {
        $saw = [];
        $connection = connect($number);
        $connection->beginTransaction();
        $statement = $connection->prepare("select g * $number from generate_series(1, 20) g",
            [PDO::ATTR_CURSOR => PDO::CURSOR_SCROLL]);
        $statement->execute();
        for ($turn = 0; $turn < 5; $turn++) $saw[] = $statement->fetch(PDO::FETCH_NUM, PDO::FETCH_ORI_NEXT);
        $saw[] = $statement->fetch(PDO::FETCH_NUM, PDO::FETCH_ORI_PRIOR);
        $saw[] = $statement->fetch(PDO::FETCH_NUM, PDO::FETCH_ORI_LAST);
        $connection->commit();
        return $saw;
    },
    "transactions" => function (int $number) {
        $saw = [];
        $connection = connect($number);
        $connection->exec("create table php_rows (id serial primary key, b text unique)");
        $connection->beginTransaction();
        $connection->prepare("insert into php_rows (b) values (?)")->execute(["client $number"]);
        $saw[] = $connection->lastInsertId("php_rows_id_seq");
        $saw[] = $connection->lastInsertId();
        caught($saw, fn () => $connection->exec("insert into php_rows (b) values ('client $number')"));
        $saw[] = $connection->inTransaction();
        caught($saw, fn () => $connection->query("select 1"));
        $connection->rollBack();
        $saw[] = $connection->pgsqlCopyFromArray("php_rows", ["1|a", "2|b"], "|");
        $saw[] = $connection->pgsqlCopyToArray("php_rows", ",");
        $saw[] = $connection->exec("delete from php_rows");
        $connection->exec("drop table php_rows");
        return $saw;
    },
    "notifications" => function (int $number) {
        $saw = [];
        $listener = connect($number);
        $other = connect($number);
        $listener->exec("listen \"php $number\"");
        for ($turn = 0; $turn < 3; $turn++) $other->exec("notify \"php $number\", '$turn'");
        for ($turn = 0; $turn < 3; $turn++) {
            $heard = $listener->pgsqlGetNotify(PDO::FETCH_ASSOC, 5000);
            $saw[] = [$heard["message"] ?? null, $heard["payload"] ?? null];
        }
        return $saw;
    },
    "temporary_tables" => function (int $number) {
        $saw = [];
        $connection = connect($number);
        $connection->exec("create temp table marks as select $number as mark");
        for ($turn = 0; $turn < 4; $turn++) {
            $saw[] = $connection->query("update marks set mark = mark + 1 returning mark")->fetchAll(PDO::FETCH_NUM);
        }
        $connection->exec("drop table marks");
        caught($saw, fn () => $connection->query("select * from marks"));
        return $saw;
    },
    // The older functions.
    "pg_functions" => function (int $number) use ($LOOK, $allSettings) {
        $saw = [];
        $address = sprintf("host=%s port=%s dbname=%s user=%s password='%s'", getenv("PGHOST"), getenv("PGPORT"),
            getenv("PGDATABASE"), getenv("PGUSER"), str_replace("'", "\\'", getenv("PGPASSWORD")));
        $connection = pg_connect($address);
        pg_query($connection, implode("; ", $allSettings[$number]));
        pg_prepare($connection, "same", "select \$1::int * $number");
        for ($turn = 0; $turn < 6; $turn++) {
            $saw[] = pg_fetch_all(pg_execute($connection, "same", [$turn]));
            $saw[] = pg_fetch_all(pg_query_params($connection, "select \$1::text", ["x$turn"]));
        }
        $saw[] = pg_fetch_all(pg_query($connection, $LOOK));
        $saw[] = @pg_query($connection, "select nothing_such");
        $saw[] = pg_last_error($connection);
        pg_set_client_encoding($connection, "LATIN1");
        $saw[] = [pg_client_encoding($connection), pg_parameter_status($connection, "TimeZone")];
        pg_connection_reset($connection);
        $saw[] = pg_fetch_all(pg_query($connection, $LOOK));
        return $saw;
    },
];

foreach ($cases as $name => $case) {
    if (!preg_match("~" . getenv("CONFORMANCE_CASES") . "~", $name)) continue;
    $children = [];
    for ($number = 0; $number < $count; $number++) {
        $child = pcntl_fork();
        if ($child === 0) {
            $began = microtime(true);
            try {
                $result = ["saw" => $case($number)];
            } catch (Throwable $error) {
                $result = ["error" => get_class($error) . ": " . $error->getMessage(),
                    "trace" => "line " . $error->getLine()];
            }
            $what = ["client" => $number, "case" => $name, "seconds" => microtime(true) - $began] + $result;
            fwrite(STDOUT, json_encode($what) . "\n");
            exit(0);
        }
        $children[] = $child;
    }
    foreach ($children as $child) pcntl_waitpid($child, $status);
}
