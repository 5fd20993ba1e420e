// node-postgres: its pool, named statements, cursors, streams, notifications.

"use strict";

const { Client, Pool } = require("pg");
const Cursor = require("pg-cursor");
const QueryStream = require("pg-query-stream");

const count = Number(process.env.CONFORMANCE_CLIENTS);
const allSettings = JSON.parse(process.env.CONFORMANCE_SETTINGS);
const LOOK = process.env.CONFORMANCE_LOOK;
const only = new RegExp(process.env.CONFORMANCE_CASES);

const sleep = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

async function withClient(number, work) {
    const client = new Client();
    client.on("error", () => {});
    await client.connect();
    try {
        for (const statement of allSettings[number]) await client.query(statement);
        return await work(client);
    } finally {
        // A connection that has ended already never says so.
        await Promise.race([client.end(), sleep(2000)]);
    }
}

const rows = async (client, query, values) =>
    (await client.query({ text: query, values, rowMode: "array" })).rows;

async function caught(saw, work) {
    try {
        await work();
        saw.push("no error");
    } catch (error) {
        saw.push(`${error.code}: ${error.message}`);
    }
}

async function settings(number) {
    const saw = [];
    await withClient(number, async (client) => {
        for (let turn = 0; turn < 8; turn++) {
            saw.push(await rows(client, LOOK));
            saw.push(await rows(client, "select $1::timestamptz, current_setting('timezone')", [new Date(0)]));
        }
        await client.query("begin");
        await client.query("set timezone to 'Asia/Tokyo'");
        await client.query("set local lock_timeout to 99");
        saw.push(await rows(client, LOOK));
        await client.query("rollback");
        saw.push(await rows(client, LOOK));
        await client.query("begin; set timezone to 'Asia/Tokyo'; commit");
        saw.push(await rows(client, LOOK));
        await client.query("reset timezone");
        saw.push(await rows(client, LOOK));
    });
    return saw;
}

async function startOptions(number) {
    const saw = [];
    const options = {
        statement_timeout: 12000 + number, idle_in_transaction_session_timeout: 23000 + number,
        lock_timeout: 3000 + number, application_name: `node ${number}`,
        options: `-c timezone=Etc/GMT-${number + 1} -c search_path=client_${number}`,
    };
    const client = new Client(options);
    await client.connect();
    for (let turn = 0; turn < 3; turn++) saw.push(await rows(client, LOOK));
    await client.query("set timezone to 'UTC'; set lock_timeout to 1");
    saw.push(await rows(client, LOOK));
    await client.query("reset all");
    saw.push(await rows(client, LOOK));
    saw.push(await rows(client, "show idle_in_transaction_session_timeout"));
    await client.end();
    return saw;
}

// The driver parses a named statement once, and relies on its name from then on.
async function namedStatements(number) {
    const saw = [];
    await withClient(number, async (client) => {
        for (let turn = 0; turn < 5; turn++) {
            for (let text = 0; text < 6; text++) {
                const query = {
                    name: `statement ${text}`, text: `select ${text} * 100 + ${number} + $1::int as a`, values: [turn],
                };
                saw.push((await client.query(query)).rows);
            }
            await caught(saw, () =>
                client.query({ name: "fails", text: "select 1 / $1::int", values: [0] }));
        }
        await client.query("begin");
        for (let text = 0; text < 6; text++) {
            saw.push((await client.query({ name: `statement ${text}`, values: [7] })).rows);
        }
        await client.query("rollback");
        await caught(saw, () => client.query({ name: "broken", text: "select nothing_such" }));
        await caught(saw, () => client.query({ name: "broken", text: "select nothing_such" }));
        await caught(saw, () => client.query({ name: "statement 0", text: "select 'another text'" }));
        saw.push(await rows(client, LOOK));
    });
    return saw;
}

async function discarded(number) {
    const saw = [];
    await withClient(number, async (client) => {
        const query = { name: "same", text: `select ${number}::int as a` };
        saw.push((await client.query(query)).rows);
        await client.query("discard all");
        await caught(saw, () => client.query(query));
        saw.push(await rows(client, LOOK));
    });
    return saw;
}

async function pools(number) {
    const saw = [];
    const pool = new Pool({ max: 3, idleTimeoutMillis: 50, maxUses: 7 });
    pool.on("connect", (client) => {
        for (const statement of allSettings[number]) client.query(statement);
    });
    saw.push(await Promise.all(
        Array.from({ length: 20 }, (_, turn) => rows(pool, "select $1::int * 2, current_user::text", [turn]))));
    for (let turn = 0; turn < 4; turn++) {
        const client = await pool.connect();
        try {
            await client.query("begin");
            await client.query(`set local work_mem = '${7000 + number}kB'`);
            saw.push(await rows(client, LOOK));
            await client.query(turn % 2 ? "commit" : "rollback");
            saw.push(await rows(client, LOOK));
        } finally {
            client.release();
        }
    }
    await caught(saw, () => pool.query("select 1 / 0"));
    await sleep(120);
    saw.push(await rows(pool, LOOK));
    await pool.end();
    return saw;
}

async function cursors(number) {
    const saw = [];
    await withClient(number, async (client) => {
        const query = `select g * ${number} as a from generate_series(1, $1::int) g`;
        const cursor = client.query(new Cursor(query, [40], { rowMode: "array" }));
        saw.push(await cursor.read(7), await cursor.read(7));
        await cursor.close();
        saw.push(await rows(client, LOOK));
        await client.query("begin");
        const first = client.query(new Cursor(query, [10]));
        saw.push(await first.read(3));
        await first.close();
        const failing = client.query(new Cursor("select 10 / (5 - g) from generate_series(1, 10) g", []));
        await caught(saw, async () => saw.push(await failing.read(3), await failing.read(3)));
        await client.query("rollback");
        saw.push(await rows(client, "select $1::int", [number]));
    });
    return saw;
}

async function streams(number) {
    const saw = [];
    await withClient(number, async (client) => {
        const stream = client.query(
            new QueryStream(`select g * ${number} as a from generate_series(1, 1000) g`, [], { batchSize: 37 }));
        let sum = 0;
        for await (const row of stream) sum += row.a;
        saw.push(sum);
        const cut = client.query(
            new QueryStream("select g as a from generate_series(1, 1000) g", [], { batchSize: 10 }));
        let seen = 0;
        for await (const row of cut) if (++seen === 25) break;
        saw.push(seen, await rows(client, LOOK));
    });
    return saw;
}

async function notifications(number) {
    const saw = [];
    await withClient(number, (listener) => withClient(number, async (other) => {
        const heard = new Promise((done, failed) => {
            setTimeout(failed, 10000, new Error("nothing was heard")).unref();
            listener.on("notification", (message) => {
                saw.push([message.channel, message.payload]);
                if (saw.length === 3) done();
            });
        });
        heard.catch(() => {});
        await listener.query(`listen "node ${number}"`);
        for (let turn = 0; turn < 3; turn++) {
            await other.query("select pg_notify($1, $2)", [`node ${number}`, String(turn)]);
        }
        await heard;
        await listener.query("unlisten *");
    }));
    return saw;
}

async function transactions(number) {
    const saw = [];
    await withClient(number, async (client) => {
        await client.query("create table node_rows (a int primary key, b jsonb, c timestamptz)");
        await client.query("begin isolation level serializable read write");
        saw.push((await client.query("insert into node_rows values ($1, $2, $3) returning b, c",
            [1, { client: number }, new Date(1e12)])).rows);
        await client.query("savepoint s");
        await caught(saw, () => client.query("insert into node_rows values (1)"));
        await caught(saw, () => client.query("select 1"));
        await client.query("rollback to s");
        saw.push(await rows(client, "show transaction_isolation"));
        await client.query("commit");
        const both = await client.query("select 1 as one; select 2 as two, 3 as three");
        saw.push(both.map((result) => result.rows));
        saw.push((await client.query("update node_rows set a = 2")).rowCount);
        // All of these are sent before the first is answered.
        saw.push(await Promise.all(
            Array.from({ length: 10 }, (_, turn) => rows(client, "select $1::int + a from node_rows", [turn]))));
        await client.query("drop table node_rows");
    });
    return saw;
}

async function temporaryTables(number) {
    const saw = [];
    await withClient(number, async (client) => {
        await client.query(`create temp table marks as select ${number} as mark`);
        for (let turn = 0; turn < 5; turn++) {
            saw.push((await client.query("update marks set mark = mark + $1 returning mark", [turn])).rows);
        }
        await client.query("drop table marks");
        await caught(saw, () => client.query("select * from marks"));
    });
    return saw;
}

async function typesAndNotices(number) {
    const saw = [];
    await withClient(number, async (client) => {
        client.on("notice", (notice) => saw.push(notice.message));
        await client.query(`do $$ begin raise notice 'from ${number}'; end $$`);
        saw.push(await rows(client, "select 1::int8, 1.5::numeric, array[1, 2], '{\"a\": 1}'::jsonb, true, null,"
            + " '2024-01-01'::date::text, decode('00ff', 'hex'), interval '1 day'"));
        saw.push(await rows(client, "select $1::text as a, $2::bytea as b", ["x", Buffer.from([0, 1])]));
        saw.push(await rows(client, "select $1::text[]", [["a", "b\"c", null]]));
        saw.push(await rows(client, "select length($1)", ["x".repeat(1_000_000)]));
        await caught(saw, () => client.query("select $1::int", ["text"]));
        await caught(saw, () => client.query("set statement_timeout = 100; select pg_sleep(10)"));
        saw.push(await rows(client, LOOK));
    });
    return saw;
}

const cases = [
    settings, startOptions, namedStatements, discarded, pools, cursors, streams, notifications, transactions,
    temporaryTables, typesAndNotices,
];

async function work(number, run) {
    let result;
    try {
        result = { saw: await run(number) };
    } catch (error) {
        const places = error.stack.split("\n").filter((line) => line.includes("drive_node"));
        result = { error: `${error.code || error.name}: ${error.message}`, trace: places.join("\n") };
    }
    const name = run.name.replace(/[A-Z]/g, (letter) => "_" + letter.toLowerCase());
    console.log(JSON.stringify({ client: number, case: name, ...result }));
}

(async () => {
    for (const run of cases.filter((run) => only.test(run.name))) {
        await Promise.all(Array.from({ length: count }, (_, number) => work(number, run)));
    }
    process.exit(0);
})();
