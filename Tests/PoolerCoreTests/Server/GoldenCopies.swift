import PoolerCore
import PostgresWire

/// COPY, where client and server may disagree about which Sync is part of the data (PostgreSQL
/// documentation, section 55.2.6 "COPY Operations").
extension ServerTranscript {
    static let copies = copiesThatSucceed + copiesThatFail

    private static let copiesThatSucceed = [
        ServerTranscript(
            "COPY to the client",
            .sent(ask(.query)),
            .received([
                Wire.copyOutResponse, Wire.copyData("1\n"), Wire.copyData("2\n"), Wire.copyDone,
                Wire.complete("COPY 2"), Wire.ready(),
            ]),
            notes: [.ready(.idle, isQuiet: true)]
        ),
        ServerTranscript(
            "COPY from the client",
            .sent(ask(.query)),
            .received([Wire.copyInResponse]),
            .sent(ask(.copyEnd)),
            .received([Wire.complete("COPY 2"), Wire.ready()]),
            notes: [.ready(.idle, isQuiet: true)]
        ),
        ServerTranscript(
            "COPY from the client, who did not wait",
            .sent(ask(.query, .copyEnd, .query)),
            .received([
                Wire.copyInResponse, Wire.complete("COPY 2"), Wire.ready(), Wire.complete("SET"),
                Wire.ready(),
            ]),
            notes: [.ready(.idle, isQuiet: false), .ready(.idle, isQuiet: true)]
        ),
        ServerTranscript(
            "two COPYs in one Query",
            .sent(ask(.query)),
            .received([Wire.copyInResponse]),
            .sent(ask(.copyEnd)),
            .received([Wire.complete("COPY 2"), Wire.copyInResponse]),
            .sent(ask(.copyEnd)),
            .received([Wire.complete("COPY 2"), Wire.ready()]),
            notes: [.ready(.idle, isQuiet: true)]
        ),
        ServerTranscript(
            "COPY in both directions",
            .sent(ask(.query)),
            .received([Wire.backend(.copyBothResponse, [0, 0, 0]), Wire.copyData("a")]),
            .sent(ask(.copyEnd)),
            .received([Wire.copyDone, Wire.complete("COPY 0"), Wire.ready()]),
            notes: [.ready(.idle, isQuiet: true)]
        ),
        ServerTranscript(
            "extended COPY: the Sync behind Execute is ignored",
            .sent(ask(.parse, .bind, .execute, .sync)),
            .received([Wire.parseComplete, Wire.bindComplete, Wire.copyInResponse]),
            .sent(ask(.copyEnd, .sync)),
            .received([Wire.complete("COPY 2"), Wire.ready()]),
            notes: [.answered(ask(.execute)[0]), .ready(.idle, isQuiet: true)]
        ),
        ServerTranscript(
            "extended COPY: Syncs among the data are ignored",
            .sent(ask(.bind, .execute)),
            .received([Wire.bindComplete, Wire.copyInResponse]),
            .sent(ask(.sync, .sync)),
            .sent(ask(.copyEnd, .sync, .sync)),
            .received([Wire.complete("COPY 2"), Wire.ready(), Wire.ready()]),
            notes: [
                .answered(ask(.execute)[0]), .ready(.idle, isQuiet: false),
                .ready(.idle, isQuiet: true),
            ]
        ),
        ServerTranscript(
            "extended COPYs, all sent at once",
            .sent(ask(.bind, .execute, .copyEnd, .bind, .execute, .copyEnd, .sync)),
            .received([
                Wire.bindComplete, Wire.copyInResponse, Wire.complete("COPY 2"), Wire.bindComplete,
                Wire.copyInResponse, Wire.complete("COPY 2"), Wire.ready(),
            ]),
            notes: [
                .answered(ask(.execute)[0]), .answered(ask(.execute)[0]),
                .ready(.idle, isQuiet: true),
            ]
        ),
        ServerTranscript(
            "CopyDone outside of a COPY",
            .sent(ask(.copyEnd)),
            .sent(ask(.query, .copyEnd)),
            .received([Wire.complete("SET"), Wire.ready()]),
            .sent(ask(.copyEnd)),
            notes: [.ready(.idle, isQuiet: true)]
        ),
    ]

    private static let copiesThatFail = [
        ServerTranscript(
            "COPY fails, the client goes on for a while",
            .sent(ask(.query)),
            .received([Wire.copyInResponse, Wire.error("bad line"), Wire.ready()]),
            .sent(ask(.copyEnd)),
            .sent(ask(.query)),
            .received([Wire.complete("SET"), Wire.ready()]),
            notes: [
                .failed("bad line"), .ready(.idle, isQuiet: true), .ready(.idle, isQuiet: true),
            ]
        ),
        ServerTranscript(
            "COPY fails before it begins",
            .sent(ask(.query, .copyEnd, .query)),
            .received([
                Wire.error("no table"), Wire.ready(), Wire.complete("SET"), Wire.ready(),
            ]),
            notes: [
                .failed("no table"), .ready(.idle, isQuiet: false), .ready(.idle, isQuiet: true),
            ]
        ),
        ServerTranscript(
            "CopyFail",
            .sent(ask(.query)),
            .received([Wire.copyInResponse]),
            .sent(ask(.copyEnd)),
            .received([Wire.error("the client gave up"), Wire.ready(.inFailedTransaction)]),
            notes: [
                .failed("the client gave up"), .ready(.inFailedTransaction, isQuiet: true),
            ],
            isCleanAtEnd: false
        ),
        ServerTranscript(
            "extended COPY fails before CopyDone is sent",
            .sent(ask(.bind, .execute)),
            .received([Wire.bindComplete, Wire.copyInResponse, Wire.error("bad line")]),
            .sent(ask(.copyEnd)),
            .sent(ask(.sync)),
            .received([Wire.ready()]),
            notes: [.failed("bad line"), .ready(.idle, isQuiet: true)]
        ),
        ServerTranscript(
            "extended COPY fails after everything was sent",
            .sent(ask(.bind, .execute, .copyEnd, .sync)),
            .received([
                Wire.bindComplete, Wire.copyInResponse, Wire.error("bad line"), Wire.ready(),
            ]),
            notes: [.failed("bad line"), .ready(.idle, isQuiet: true)]
        ),
        // The Syncs below may have come while the server read data, or after it had failed. The
        // client gets whatever comes; the server must not be given to another.
        ServerTranscript(
            "Sync among the data of a COPY that fails: the server ignored it",
            .sent(ask(.bind, .execute)),
            .received([Wire.bindComplete, Wire.copyInResponse]),
            .sent(ask(.sync)),
            .sent(ask(.copyEnd, .sync)),
            .received([Wire.error("bad line"), Wire.ready()]),
            notes: [.failed("bad line"), .ready(.idle, isQuiet: true)],
            isCleanAtEnd: false
        ),
        ServerTranscript(
            "Sync among the data of a COPY that fails: the server answered it",
            .sent(ask(.bind, .execute)),
            .received([Wire.bindComplete, Wire.copyInResponse]),
            .sent(ask(.sync)),
            .received([Wire.error("bad line"), Wire.ready()]),
            .sent(ask(.copyEnd, .sync)),
            .received([Wire.ready()]),
            notes: [
                .failed("bad line"), .ready(.idle, isQuiet: true), .ready(.idle, isQuiet: true),
            ],
            isCleanAtEnd: false
        ),
        ServerTranscript(
            "both Syncs of a COPY that fails are answered",
            .sent(ask(.bind, .execute)),
            .received([Wire.bindComplete, Wire.copyInResponse]),
            .sent(ask(.sync)),
            .sent(ask(.copyEnd, .sync, .parse, .sync)),
            .received([
                Wire.error("bad line"), Wire.ready(), Wire.ready(), Wire.parseComplete,
                Wire.ready(),
            ]),
            notes: [
                .failed("bad line"), .ready(.idle, isQuiet: false), .ready(.idle, isQuiet: false),
                .ready(.idle, isQuiet: true),
            ],
            isCleanAtEnd: false
        ),
        ServerTranscript(
            "Sync sent before a COPY began that fails at once",
            .sent(ask(.bind, .execute, .sync)),
            .received([Wire.bindComplete, Wire.copyInResponse, Wire.error("trigger"), Wire.ready()]
            ),
            notes: [.failed("trigger"), .ready(.idle, isQuiet: true)],
            isCleanAtEnd: false
        ),
        ServerTranscript(
            "Sync sent before a COPY began that fails later",
            .sent(ask(.bind, .execute, .sync)),
            .received([Wire.bindComplete, Wire.copyInResponse]),
            .sent(ask(.copyEnd, .sync)),
            .received([Wire.error("bad line"), Wire.ready()]),
            notes: [.failed("bad line"), .ready(.idle, isQuiet: true)],
            isCleanAtEnd: false
        ),
    ]
}
