// COPY through the pooler: both directions, big, failing, and out of step.

import CLibpq
import Testing

@Suite(.serialized) struct CopyTests {
    @Test func fiftyMegabytesOut() throws {
        try withPooler { pooler in
            let client = try pooler.connect()
            try client.query("select 1")
            let before = pooler.residentBytes
            let statement =
                "copy (select repeat('m', 999) from generate_series(1, 50000)) to stdout"
            try #expect(client.execute(statement).status == PGRES_COPY_OUT)
            try #expect(client.drainCopy() == 50_000_000)
            try #expect(client.receive().tag == "COPY 50000")
            try #expect(client.value("select 1") == "1")
            #expect(pooler.residentBytes - before < 10 << 20)
        }
    }

    @Test func fiftyMegabytesIn() throws {
        try withPooler { pooler in
            let client = try pooler.connect()
            try client.query("create unlogged table copy_in (line text)")
            let before = pooler.residentBytes
            try #expect(client.execute("copy copy_in from stdin").status == PGRES_COPY_IN)
            let line = Array(String(repeating: "w", count: 999).utf8) + [UInt8(ascii: "\n")]
            let chunk = [UInt8]((0..<1000).flatMap { _ in line })
            for _ in 0..<50 { try client.sendCopyData(chunk) }
            try client.endCopy()
            try #expect(client.receive().tag == "COPY 50000")
            try #expect(client.value("select sum(length(line)) from copy_in") == "49950000")
            #expect(pooler.residentBytes - before < 10 << 20)
            try client.query("drop table copy_in")
        }
    }

    @Test func copyFail() throws {
        try withPooler { pooler in
            let client = try pooler.connect()
            try client.query("create table copy_fail (line text)")
            try #expect(client.execute("copy copy_fail from stdin").status == PGRES_COPY_IN)
            try client.sendCopyData(Array("one\n".utf8))
            try client.endCopy(failing: "changed my mind")
            let error = try client.receive().error
            #expect(error?.sqlstate == "57014")
            #expect(error?.message.contains("changed my mind") == true)
            try #expect(client.value("select count(*) from copy_fail") == "0")
            try client.query("drop table copy_fail")
        }
    }

    @Test func anErrorInTheMiddleOfCopyIn() throws {
        try withPooler(["default_pool_size": "1"]) { pooler in
            let client = try pooler.connect()
            try client.query("create table copy_error (number int)")
            try #expect(client.execute("copy copy_error from stdin").status == PGRES_COPY_IN)
            try client.sendCopyData(Array("1\nnot a number\n".utf8))
            let more = Array(String(repeating: "2\n", count: 100_000).utf8)
            for _ in 0..<20 { try client.sendCopyData(more) }
            try client.endCopy()
            try #expect(client.receive().sqlstate == "22P02")
            try #expect(client.value("select count(*) from copy_error") == "0")
            try client.query("drop table copy_error")
        }
    }

    /// PostgreSQL drops CopyData, CopyDone and CopyFail that come after its error: the client could
    /// not know yet.
    ///
    /// Meanwhile the server may already work for somebody else.
    @Test func lateCopyDataIsDropped() throws {
        try withPooler(["default_pool_size": "1"]) { pooler in
            let setup = try pooler.connect()
            try setup.query("create table copy_late (number int)")
            let client = try pooler.rawLogin()
            try client.send(Frontend.query("copy copy_late from stdin"))
            try #expect(client.receive().type == "G")
            try client.send(Frontend.message("d", Array("word\n".utf8)))
            try #expect(client.receive(until: "E").error?.sqlstate == "22P02")
            try #expect(client.receiveUntilReady().transactionStatus == "I")
            try setup.query("begin")
            try client.send(Frontend.message("d", Array("1\n".utf8)) + Frontend.message("d", []))
            try client.send(Frontend.message("c") + Frontend.message("f", Frontend.string("no")))
            #expect(client.isSilent())
            try setup.query("commit")
            try client.send(Frontend.query("select count(*) from copy_late"))
            try #expect(client.receiveUntilReady().rows == [["0"]])
            try setup.query("drop table copy_late")
        }
    }

    @Test func copyInTheExtendedProtocol() throws {
        try withPooler { pooler in
            let client = try pooler.rawLogin()
            try client.send(Frontend.query("begin; create temp table copy_extended (number int)"))
            _ = try client.receiveUntilReady()
            try client.send(
                Frontend.parse("", "copy copy_extended from stdin") + Frontend.bind("")
                    + Frontend.execute() + Frontend.flush
            )
            try #expect(client.receive(until: "G").types == ["1", "2", "G"])
            let rows = (1...3).flatMap { Frontend.message("d", Array("\($0)\n".utf8)) }
            try client.send(rows + Frontend.message("c") + Frontend.sync)
            try #expect(client.receiveUntilReady().types == ["C", "Z"])
            try client.send(
                Frontend.parse("", "copy copy_extended to stdout") + Frontend.bind("")
                    + Frontend.execute() + Frontend.sync
            )
            try #expect(
                client.receiveUntilReady().types
                    == ["1", "2", "H", "d", "d", "d", "c", "C", "Z"]
            )
            try client.send(Frontend.query("rollback"))
            try #expect(client.receiveUntilReady().transactionStatus == "I")
        }
    }

    /// Sync during COPY IN is ignored by PostgreSQL; the real one comes after CopyDone.
    ///
    /// Counting
    /// Syncs naively would keep the server for ever, or give it away too early.
    @Test func aSyncInsideCopyIn() throws {
        try withPooler(["default_pool_size": "1"]) { pooler in
            let other = try pooler.connect()
            try other.query("create table copy_sync (number int)")
            let client = try pooler.rawLogin()
            try client.send(
                Frontend.parse("", "copy copy_sync from stdin") + Frontend.bind("")
                    + Frontend.execute() + Frontend.sync
            )
            try #expect(client.receive(until: "G").types == ["1", "2", "G"])
            try client.send(
                Frontend.message("d", Array("1\n".utf8)) + Frontend.message("c") + Frontend.sync
            )
            try #expect(client.receiveUntilReady().types == ["C", "Z"])
            #expect(client.isSilent())
            try #expect(other.value("select count(*) from copy_sync") == "1")
            try other.query("drop table copy_sync")
        }
    }

    @Test func aClientThatLeavesDuringCopyHarmsNobody() throws {
        try withPooler(["default_pool_size": "1"]) { pooler in
            let other = try pooler.connect()
            try other.query("create table copy_left (number int)")
            for direction in [
                "copy copy_left from stdin",
                "copy (select repeat('x', 1000000) from generate_series(1, 100)) to stdout",
            ] {
                let client = try pooler.connect()
                _ = try client.execute(direction)
                client.vanish()
                try #expect(other.value("select count(*) from copy_left") == "0")
            }
            try other.query("drop table copy_left")
        }
    }
}
