// pgjdbc: statements prepared on the server after five runs, fetch size, autosave, schema, read-only, LISTEN.

import java.io.StringReader;
import java.io.StringWriter;
import java.sql.*;
import java.time.OffsetDateTime;
import java.time.ZoneOffset;
import java.util.*;
import java.util.concurrent.*;
import java.util.regex.Pattern;
import org.postgresql.PGConnection;
import org.postgresql.PGNotification;
import org.postgresql.PGStatement;

public class DrivePgjdbc {
    static final int COUNT = Integer.parseInt(System.getenv("CONFORMANCE_CLIENTS"));
    static final String LOOK = System.getenv("CONFORMANCE_LOOK");
    static final List<List<String>> SETTINGS = parseSettings(System.getenv("CONFORMANCE_SETTINGS"));

    interface Case { void run(int number, List<Object> saw) throws Exception; }
    interface Action { void run() throws Exception; }

    static Connection connect(int number, String... properties) throws Exception {
        Connection connection = connectPlain(properties);
        try (Statement statement = connection.createStatement()) {
            for (String setting : SETTINGS.get(number)) statement.execute(setting);
        }
        return connection;
    }

    static Connection connectPlain(String... properties) throws Exception {
        Properties all = new Properties();
        all.put("user", System.getenv("PGUSER"));
        all.put("password", System.getenv("PGPASSWORD"));
        if (System.getenv("PGSSLMODE") != null) all.put("sslmode", System.getenv("PGSSLMODE"));
        for (int index = 0; index < properties.length; index += 2) all.put(properties[index], properties[index + 1]);
        return DriverManager.getConnection("jdbc:postgresql://" + System.getenv("PGHOST") + ":"
            + System.getenv("PGPORT") + "/" + System.getenv("PGDATABASE"), all);
    }

    static String ask(Connection connection, String query) throws Exception {
        try (Statement statement = connection.createStatement()) {
            if (!statement.execute(query)) return "count " + statement.getUpdateCount();
            return rows(statement.getResultSet());
        }
    }

    static String rows(ResultSet result) throws Exception {
        StringBuilder text = new StringBuilder();
        int columns = result.getMetaData().getColumnCount();
        while (result.next()) {
            for (int column = 1; column <= columns; column++) text.append(result.getString(column)).append('|');
            text.append('\n');
        }
        result.close();
        return text.toString();
    }

    static void caught(List<Object> saw, Action action) throws Exception {
        try {
            action.run();
            saw.add("no error");
        } catch (SQLException error) {
            saw.add(error.getSQLState() + ": " + error.getMessage());
        }
    }

    static void settings(int number, List<Object> saw) throws Exception {
        try (Connection connection = connect(number)) {
            for (int turn = 0; turn < 8; turn++) saw.add(ask(connection, LOOK));
            connection.setAutoCommit(false);
            saw.add(ask(connection, "set timezone to 'Asia/Tokyo'"));
            saw.add(ask(connection, LOOK));
            connection.rollback();
            for (int turn = 0; turn < 4; turn++) {
                saw.add(ask(connection, LOOK));
                connection.commit();
            }
            // Without zone: by the session's time zone, whatever the program's own.
            saw.add(ask(connection, "select timestamptz '2024-07-01 12:00' - timestamptz '2024-07-01 12:00+00'"));
        }
    }

    static void startOptions(int number, List<Object> saw) throws Exception {
        try (Connection connection = connectPlain("ApplicationName", "java " + number, "currentSchema",
                "client_" + number, "options", "-c statement_timeout=" + (20000 + number) + " -c work_mem=5MB")) {
            for (int turn = 0; turn < 3; turn++) saw.add(ask(connection, LOOK));
            for (String setting : SETTINGS.get(number)) ask(connection, setting);
            saw.add(ask(connection, LOOK));
            ask(connection, "discard all");
            saw.add(ask(connection, LOOK));
            saw.add(ask(connection, LOOK));
        }
    }

    static void preparedAfterFive(int number, List<Object> saw) throws Exception {
        try (Connection connection = connect(number)) {
            try (PreparedStatement statement = connection.prepareStatement(
                    "select ? + " + number + ", current_setting('timezone'), ?::text")) {
                for (int turn = 0; turn < 12; turn++) {
                    statement.setInt(1, turn);
                    statement.setString(2, "text " + turn);
                    saw.add(rows(statement.executeQuery()));
                }
                saw.add(((PGStatement) statement).isUseServerPrepare());
            }
            // Prepared at once, and with a text that other statements have, too.
            for (int turn = 0; turn < 3; turn++) {
                try (PreparedStatement statement = connection.prepareStatement("select " + number + " * ?")) {
                    ((PGStatement) statement).setPrepareThreshold(1);
                    statement.setInt(1, turn);
                    saw.add(rows(statement.executeQuery()));
                    saw.add(statement.getMetaData().getColumnTypeName(1));
                    saw.add(statement.getParameterMetaData().getParameterTypeName(1));
                }
            }
        }
    }

    static void smallCache(int number, List<Object> saw) throws Exception {
        try (Connection connection = connect(number, "preparedStatementCacheQueries", "3", "prepareThreshold", "1")) {
            for (int turn = 0; turn < 4; turn++) {
                for (int text = 0; text < 8; text++) {
                    try (PreparedStatement statement = connection.prepareStatement("select " + text + " * 100 + ?")) {
                        statement.setInt(1, number);
                        saw.add(rows(statement.executeQuery()));
                    }
                }
            }
        }
    }

    static void everyQueryMode(int number, List<Object> saw) throws Exception {
        for (String mode : List.of("simple", "extended", "extendedForPrepared", "extendedCacheEverything")) {
            try (Connection connection = connect(number, "preferQueryMode", mode)) {
                for (int turn = 0; turn < 7; turn++) {
                    saw.add(mode + " " + ask(connection, "select 1; select current_setting('search_path')"));
                    try (PreparedStatement statement = connection.prepareStatement("select ?::int * 2")) {
                        statement.setInt(1, turn + number);
                        saw.add(rows(statement.executeQuery()));
                    }
                }
                saw.add(ask(connection, LOOK));
            }
        }
    }

    static void autosave(int number, List<Object> saw) throws Exception {
        for (String mode : List.of("never", "always", "conservative")) {
            try (Connection connection = connect(number, "autosave", mode, "prepareThreshold", "2")) {
                connection.setAutoCommit(false);
                ask(connection, "create table saved (a int primary key)");
                PreparedStatement all = connection.prepareStatement("select * from saved order by 1");
                for (int turn = 0; turn < 4; turn++) saw.add(rows(all.executeQuery()));
                ask(connection, "insert into saved values (1)");
                caught(saw, () -> ask(connection, "insert into saved values (1)"));
                caught(saw, () -> saw.add(ask(connection, "insert into saved values (2)")));
                if (!mode.equals("always")) {
                    connection.rollback();
                    ask(connection, "create table saved (a int primary key)");
                }
                ask(connection, "alter table saved add b text");
                // A cached plan whose result type has changed: with autosave the driver repairs it.
                caught(saw, () -> saw.add(rows(all.executeQuery())));
                connection.rollback();
                saw.add(ask(connection, LOOK));
                connection.rollback();
            }
        }
    }

    static void resultTypeChanges(int number, List<Object> saw) throws Exception {
        try (Connection connection = connect(number, "prepareThreshold", "1")) {
            ask(connection, "create table wider as select " + number + " as a");
            PreparedStatement statement = connection.prepareStatement("select * from wider");
            for (int turn = 0; turn < 3; turn++) saw.add(rows(statement.executeQuery()));
            ask(connection, "alter table wider add b text default 'b'");
            for (int turn = 0; turn < 3; turn++) caught(saw, () -> saw.add(rows(statement.executeQuery())));
            ask(connection, "drop table wider");
        }
    }

    static void fetchSize(int number, List<Object> saw) throws Exception {
        try (Connection connection = connect(number)) {
            connection.setAutoCommit(false);
            for (int turn = 0; turn < 7; turn++) {
                try (PreparedStatement statement = connection.prepareStatement(
                        "select g * " + number + " from generate_series(1, ?) g")) {
                    statement.setFetchSize(7);
                    statement.setInt(1, 60);
                    ResultSet result = statement.executeQuery();
                    int sum = 0;
                    while (result.next()) {
                        sum += result.getInt(1);
                        if (result.getRow() == 20) saw.add(ask(connection, "select current_setting('timezone')"));
                    }
                    saw.add(sum);
                }
                if (turn % 2 == 1) connection.commit();
            }
            Statement scrolling = connection.createStatement(
                ResultSet.TYPE_SCROLL_INSENSITIVE, ResultSet.CONCUR_READ_ONLY, ResultSet.HOLD_CURSORS_OVER_COMMIT);
            ResultSet result = scrolling.executeQuery("select g from generate_series(1, 30) g");
            result.absolute(17);
            connection.commit();
            result.previous();
            saw.add(result.getInt(1));
            ask(connection, "declare held cursor with hold for select g from generate_series(1, 9) g");
            connection.commit();
            saw.add(ask(connection, "fetch 3 from held"));
            connection.rollback();
            saw.add(ask(connection, "fetch 3 from held; close held"));
        }
    }

    static void sessionOfJDBC(int number, List<Object> saw) throws Exception {
        int[] levels = {Connection.TRANSACTION_SERIALIZABLE, Connection.TRANSACTION_REPEATABLE_READ,
            Connection.TRANSACTION_READ_COMMITTED, Connection.TRANSACTION_READ_UNCOMMITTED};
        try (Connection connection = connect(number)) {
            for (int turn = 0; turn < 4; turn++) {
                connection.setSchema("client_" + (number + turn) % COUNT);
                connection.setTransactionIsolation(levels[(number + turn) % 4]);
                connection.setReadOnly(turn % 2 == 0);
                connection.setClientInfo("ApplicationName", "info " + number + turn);
                for (int again = 0; again < 3; again++) {
                    saw.add(connection.getSchema() + connection.getTransactionIsolation() + connection.isReadOnly()
                        + connection.getClientInfo("ApplicationName"));
                    saw.add(ask(connection, LOOK));
                    connection.setAutoCommit(again % 2 == 0);
                    saw.add(ask(connection, "show transaction_read_only"));
                    caught(saw, () -> ask(connection, "create table client_" + number + ".written (a int)"));
                    if (!connection.getAutoCommit()) connection.rollback();
                    connection.setAutoCommit(true);
                    caught(saw, () -> ask(connection, "drop table if exists client_" + number + ".written"));
                }
            }
            connection.setNetworkTimeout(Runnable::run, 15000);
            saw.add(connection.getNetworkTimeout());
            saw.add(connection.isValid(5));
            saw.add(((PGConnection) connection).getParameterStatus("TimeZone"));
        }
    }

    static void notifications(int number, List<Object> saw) throws Exception {
        try (Connection listener = connect(number); Connection other = connect(number)) {
            ask(listener, "listen java_" + number);
            for (int turn = 0; turn < 3; turn++) ask(other, "notify java_" + number + ", '" + turn + "'");
            for (int turn = 0; turn < 20 && saw.size() < 3; turn++) {
                PGNotification[] heard = listener.unwrap(PGConnection.class).getNotifications(1000);
                if (heard == null) continue;
                for (PGNotification one : heard) saw.add(one.getName() + " " + one.getParameter());
            }
        }
    }

    static void batches(int number, List<Object> saw) throws Exception {
        for (String rewrite : List.of("false", "true")) {
            try (Connection connection = connect(number, "reWriteBatchedInserts", rewrite)) {
                ask(connection, "create table batched (a int primary key, b text)");
                try (PreparedStatement statement = connection.prepareStatement("insert into batched values (?, ?)")) {
                    for (int row = 0; row < 500; row++) {
                        statement.setInt(1, row);
                        statement.setString(2, "x".repeat(row));
                        statement.addBatch();
                    }
                    saw.add(statement.executeBatch().length);
                    for (int row = 600; row < 610; row++) {
                        statement.setInt(1, row == 605 ? 1 : row);
                        statement.setString(2, "y");
                        statement.addBatch();
                    }
                    caught(saw, statement::executeBatch);
                }
                try (PreparedStatement statement = connection.prepareStatement(
                        "insert into batched (b) values (?)", Statement.RETURN_GENERATED_KEYS)) {
                    statement.setString(1, "no key");
                    caught(saw, statement::executeUpdate);
                }
                saw.add(ask(connection, "select count(*), sum(length(b)) from batched"));
                ask(connection, "drop table batched");
            }
        }
    }

    static void copies(int number, List<Object> saw) throws Exception {
        try (Connection connection = connect(number)) {
            ask(connection, "create table copied (a int, b text)");
            StringBuilder data = new StringBuilder();
            for (int row = 0; row < 3000; row++) data.append(row).append("\tclient ").append(number).append('\n');
            var manager = connection.unwrap(PGConnection.class).getCopyAPI();
            saw.add(manager.copyIn("copy copied from stdin", new StringReader(data.toString())));
            StringWriter output = new StringWriter();
            saw.add(manager.copyOut("copy (select * from copied where a < 3) to stdout", output));
            saw.add(output.toString());
            caught(saw, () -> manager.copyIn("copy copied from stdin", new StringReader("not a number\n")));
            var copy = manager.copyIn("copy copied from stdin");
            copy.writeToCopy("1\tx\n".getBytes(), 0, 4);
            copy.cancelCopy();
            saw.add(ask(connection, "select count(*) from copied"));
            ask(connection, "drop table copied");
        }
    }

    static void largeObjects(int number, List<Object> saw) throws Exception {
        try (Connection connection = connect(number)) {
            connection.setAutoCommit(false);
            var manager = connection.unwrap(PGConnection.class).getLargeObjectAPI();
            long identifier = manager.createLO();
            try (var object = manager.open(identifier)) {
                object.write(("client " + number + " ").repeat(3000).getBytes());
            }
            connection.commit();
            try (var object = manager.open(identifier)) {
                object.seek(9);
                saw.add(new String(object.read(20)));
                saw.add(object.size());
            }
            manager.unlink(identifier);
            connection.commit();
        }
    }

    static void temporaryTables(int number, List<Object> saw) throws Exception {
        try (Connection connection = connect(number)) {
            ask(connection, "create temp table marks as select " + number + " as mark");
            try (PreparedStatement statement = connection.prepareStatement(
                    "update marks set mark = mark + ? returning mark")) {
                for (int turn = 0; turn < 8; turn++) {
                    statement.setInt(1, turn);
                    saw.add(rows(statement.executeQuery()));
                }
            }
            ask(connection, "drop table marks");
            caught(saw, () -> ask(connection, "select * from marks"));
        }
    }

    static void metadata(int number, List<Object> saw) throws Exception {
        try (Connection connection = connect(number)) {
            ask(connection, "create table described (a int primary key, b text not null default 'x', c timestamptz[])");
            DatabaseMetaData data = connection.getMetaData();
            for (int turn = 0; turn < 6; turn++) {
                ResultSet columns = data.getColumns(null, "client_" + number, "described", null);
                while (columns.next()) saw.add(columns.getString("COLUMN_NAME") + columns.getString("TYPE_NAME"));
            }
            ResultSet keys = data.getPrimaryKeys(null, "client_" + number, "described");
            while (keys.next()) saw.add(keys.getString("PK_NAME"));
            saw.add(data.getDatabaseProductName());
            ask(connection, "create type pair as (a int, b text)");
            saw.add(ask(connection, "select row(1, 'x')::pair"));
            try (PreparedStatement statement = connection.prepareStatement("select ?, ?::timestamptz = ?, ?::uuid")) {
                for (int turn = 0; turn < 7; turn++) {
                    OffsetDateTime time = OffsetDateTime.of(2024, 7, 1, 12, 0, 0, 0, ZoneOffset.UTC);
                    statement.setArray(1, connection.createArrayOf("int4", new Integer[] {turn, number}));
                    statement.setObject(2, time);
                    statement.setTimestamp(3, Timestamp.from(time.toInstant()));
                    statement.setObject(4, new UUID(1, number));
                    saw.add(rows(statement.executeQuery()));
                }
            }
            ask(connection, "drop table described; drop type pair");
        }
    }

    static void cancelledAndTimedOut(int number, List<Object> saw) throws Exception {
        try (Connection connection = connect(number); Statement statement = connection.createStatement()) {
            statement.setQueryTimeout(1);
            caught(saw, () -> statement.execute("select pg_sleep(20)"));
            saw.add(ask(connection, LOOK));
        }
    }

    static final Map<String, Case> CASES = new LinkedHashMap<>();

    static {
        CASES.put("settings", DrivePgjdbc::settings);
        CASES.put("start_options", DrivePgjdbc::startOptions);
        CASES.put("prepared_after_five", DrivePgjdbc::preparedAfterFive);
        CASES.put("small_cache", DrivePgjdbc::smallCache);
        CASES.put("every_query_mode", DrivePgjdbc::everyQueryMode);
        CASES.put("autosave", DrivePgjdbc::autosave);
        CASES.put("result_type_changes", DrivePgjdbc::resultTypeChanges);
        CASES.put("fetch_size", DrivePgjdbc::fetchSize);
        CASES.put("session_of_jdbc", DrivePgjdbc::sessionOfJDBC);
        CASES.put("notifications", DrivePgjdbc::notifications);
        CASES.put("batches", DrivePgjdbc::batches);
        CASES.put("copies", DrivePgjdbc::copies);
        CASES.put("large_objects", DrivePgjdbc::largeObjects);
        CASES.put("temporary_tables", DrivePgjdbc::temporaryTables);
        CASES.put("metadata", DrivePgjdbc::metadata);
        CASES.put("cancelled_and_timed_out", DrivePgjdbc::cancelledAndTimedOut);
    }

    public static void main(String[] arguments) throws Exception {
        Pattern wanted = Pattern.compile(System.getenv("CONFORMANCE_CASES"));
        ExecutorService threads = Executors.newFixedThreadPool(COUNT);
        for (var one : CASES.entrySet()) {
            if (!wanted.matcher(one.getKey()).find()) continue;
            List<Future<?>> running = new ArrayList<>();
            for (int number = 0; number < COUNT; number++) {
                int own = number;
                running.add(threads.submit(() -> work(own, one.getKey(), one.getValue())));
            }
            for (Future<?> future : running) future.get();
        }
        System.exit(0);
    }

    static void work(int number, String name, Case body) {
        List<Object> saw = new ArrayList<>();
        String result;
        try {
            body.run(number, saw);
            StringBuilder list = new StringBuilder();
            for (Object one : saw) list.append(list.length() == 0 ? "" : ", ").append(quoted(String.valueOf(one)));
            result = "\"saw\": [" + list + "]";
        } catch (Throwable error) {
            StringBuilder places = new StringBuilder();
            for (StackTraceElement place : error.getStackTrace()) {
                if (place.getClassName().startsWith("DrivePgjdbc")) places.append(place).append('\n');
            }
            result = "\"error\": " + quoted(error.toString()) + ", \"trace\": " + quoted(places.toString());
        }
        synchronized (System.out) {
            System.out.println("{\"client\": " + number + ", \"case\": " + quoted(name) + ", " + result + "}");
        }
    }

    static String quoted(String text) {
        StringBuilder quoted = new StringBuilder("\"");
        for (char one : text.toCharArray()) {
            if (one == '"' || one == '\\') quoted.append('\\').append(one);
            else if (one < ' ' || one > '~') quoted.append(String.format("\\u%04x", (int) one));
            else quoted.append(one);
        }
        return quoted.append('"').toString();
    }

    /** A list of lists of texts without escapes, which is all that the runner gives. */
    static List<List<String>> parseSettings(String text) {
        List<List<String>> lists = new ArrayList<>();
        for (String list : text.substring(2, text.length() - 2).split("\\], \\[")) {
            lists.add(List.of(list.substring(1, list.length() - 1).split("\", \"")));
        }
        return lists;
    }
}
