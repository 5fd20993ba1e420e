import PoolerCore
import PostgresWire

private let parse7 = ask(.parse, statement: 7)

/// What PostgreSQL answers to what (PostgreSQL documentation, section 55.2 "Message Flow").
extension ServerTranscript {
    static let golden =
        simple + extended + errors + copies + asynchronous + internals + tracked + endings

    private static let simple = [
        ServerTranscript(
            "simple query",
            .sent(ask(.query)),
            .received([Wire.rowDescription, Wire.row("1"), Wire.complete("SELECT 1"), Wire.ready()]
            ),
            notes: [.ready(.idle, isQuiet: true)]
        ),
        ServerTranscript(
            "several statements in one Query",
            .sent(ask(.query)),
            .received([
                Wire.complete("BEGIN"), Wire.rowDescription, Wire.row("1"),
                Wire.complete("SELECT 1"), Wire.complete("COMMIT"), Wire.ready(),
            ]),
            notes: [.ready(.idle, isQuiet: true)]
        ),
        ServerTranscript(
            "empty query",
            .sent(ask(.query)),
            .received([Wire.emptyQueryResponse, Wire.ready()]),
            notes: [.ready(.idle, isQuiet: true)]
        ),
        ServerTranscript(
            "FunctionCall",
            .sent(ask(.query)),
            .received([Wire.functionCallResponse, Wire.ready()]),
            notes: [.ready(.idle, isQuiet: true)]
        ),
        ServerTranscript(
            "transaction that fails",
            .sent(ask(.query)),
            .received([Wire.complete("BEGIN"), Wire.ready(.inTransaction)]),
            .sent(ask(.query)),
            .received([Wire.error("syntax"), Wire.ready(.inFailedTransaction)]),
            .sent(ask(.query)),
            .received([Wire.complete("ROLLBACK"), Wire.ready()]),
            notes: [
                .ready(.inTransaction, isQuiet: true), .failed("syntax"),
                .ready(.inFailedTransaction, isQuiet: true), .ready(.idle, isQuiet: true),
            ]
        ),
        ServerTranscript(
            "open transaction",
            .sent(ask(.query)),
            .received([Wire.complete("BEGIN"), Wire.ready(.inTransaction)]),
            notes: [.ready(.inTransaction, isQuiet: true)],
            isCleanAtEnd: false
        ),
        ServerTranscript(
            "queries sent without waiting",
            .sent(ask(.query, .query, .query)),
            .received([
                Wire.complete("SET"), Wire.ready(), Wire.error("no"), Wire.ready(),
                Wire.complete("SET"), Wire.ready(),
            ]),
            notes: [
                .ready(.idle, isQuiet: false), .failed("no"), .ready(.idle, isQuiet: false),
                .ready(.idle, isQuiet: true),
            ]
        ),
    ]

    private static let extended = [
        ServerTranscript(
            "extended query",
            .sent(ask(.parse, .bind, .describe, .execute, .sync)),
            .received([
                Wire.parseComplete, Wire.bindComplete, Wire.rowDescription, Wire.row("1"),
                Wire.row("2"), Wire.complete("SELECT 2"), Wire.ready(),
            ]),
            notes: [.ready(.idle, isQuiet: true)]
        ),
        ServerTranscript(
            "statement described and closed",
            .sent(ask(.parse, .describe, .describe, .close, .sync)),
            .received([
                Wire.parseComplete, Wire.parameterDescription, Wire.rowDescription,
                Wire.parameterDescription, Wire.noData, Wire.closeComplete, Wire.ready(),
            ]),
            notes: [.ready(.idle, isQuiet: true)]
        ),
        ServerTranscript(
            "empty statement",
            .sent(ask(.parse, .bind, .describe, .execute, .sync)),
            .received([
                Wire.parseComplete, Wire.bindComplete, Wire.noData, Wire.emptyQueryResponse,
                Wire.ready(),
            ]),
            notes: [.ready(.idle, isQuiet: true)]
        ),
        ServerTranscript(
            "pipeline of many Syncs",
            .sent((0..<12).flatMap { _ in ask(.bind, .execute, .sync) }),
            .received(
                (0..<12).flatMap { _ in
                    [Wire.bindComplete, Wire.complete("SELECT 0"), Wire.ready()]
                }
            ),
            notes: (0..<12).map { .ready(.idle, isQuiet: $0 == 11) }
        ),
        ServerTranscript(
            "Flush without Sync",
            .sent(ask(.parse, .describe)),
            .received([Wire.parseComplete, Wire.parameterDescription, Wire.noData]),
            .sent(ask(.bind, .execute)),
            .received([Wire.bindComplete, Wire.complete("SET")]),
            notes: [],
            isCleanAtEnd: false
        ),
        ServerTranscript(
            "Flush, then Sync",
            .sent(ask(.parse)),
            .received([Wire.parseComplete]),
            .sent(ask(.sync)),
            .received([Wire.ready()]),
            notes: [.ready(.idle, isQuiet: true)]
        ),
        ServerTranscript(
            "suspended portal",
            .sent(ask(.bind, .execute, .execute, .sync)),
            .received([
                Wire.bindComplete, Wire.row("1"), Wire.portalSuspended, Wire.row("2"),
                Wire.complete("SELECT 2"), Wire.ready(),
            ]),
            notes: [.ready(.idle, isQuiet: true)]
        ),
    ]

    private static let errors = [
        ServerTranscript(
            "error in a pipeline, with a Query that is skipped",
            .sent(
                ask(
                    .parse,
                    .bind,
                    .execute,
                    .parse,
                    .bind,
                    .execute,
                    .query,
                    .sync,
                    .bind,
                    .execute
                )
                    + ask(.sync)
            ),
            .received([
                Wire.parseComplete, Wire.bindComplete, Wire.complete("SET"), Wire.error("no"),
                Wire.ready(), Wire.bindComplete, Wire.complete("SET"), Wire.ready(),
            ]),
            notes: [
                .failed("no"), .ready(.idle, isQuiet: false), .ready(.idle, isQuiet: true),
            ]
        ),
        ServerTranscript(
            "error before the Sync was sent",
            .sent(ask(.parse, .bind)),
            .received([Wire.error("no")]),
            .sent(ask(.execute, .query, .close)),
            .sent(ask(.sync, .query)),
            .received([Wire.ready(), Wire.complete("SET"), Wire.ready()]),
            notes: [
                .failed("no"), .ready(.idle, isQuiet: false), .ready(.idle, isQuiet: true),
            ]
        ),
        ServerTranscript(
            "error that nobody follows up",
            .sent(ask(.parse)),
            .received([Wire.error("no")]),
            notes: [.failed("no")],
            isCleanAtEnd: false
        ),
        ServerTranscript(
            "commit that fails at Sync",
            .sent(ask(.bind, .execute, .sync, .sync)),
            .received([
                Wire.bindComplete, Wire.complete("INSERT 0 1"), Wire.error("deferred"),
                Wire.ready(), Wire.ready(),
            ]),
            notes: [
                .failed("deferred"), .ready(.idle, isQuiet: false), .ready(.idle, isQuiet: true),
            ]
        ),
        ServerTranscript(
            "error after rows",
            .sent(ask(.bind, .execute, .execute, .sync)),
            .received([
                Wire.bindComplete, Wire.row("1"), Wire.row("2"), Wire.error("cancel"), Wire.ready(),
            ]),
            notes: [.failed("cancel"), .ready(.idle, isQuiet: true)]
        ),
        ServerTranscript(
            "statement that fails in a Query",
            .sent(ask(.query)),
            .received([
                Wire.complete("SET"), Wire.rowDescription, Wire.error("no"), Wire.ready(),
            ]),
            notes: [.failed("no"), .ready(.idle, isQuiet: true)]
        ),
    ]

    private static let asynchronous = [
        ServerTranscript(
            "notices, notifications and settings anywhere",
            .received([Wire.notification, Wire.parameterStatus("TimeZone", "UTC"), Wire.notice]),
            .sent(ask(.parse, .bind, .execute, .sync)),
            .received([
                Wire.notice, Wire.parseComplete, Wire.notification, Wire.bindComplete, Wire.notice,
                Wire.row("1"), Wire.parameterStatus("DateStyle", ""), Wire.row("2"), Wire.notice,
                Wire.complete("SELECT 2"), Wire.parameterStatus("a", "b"), Wire.ready(),
                Wire.notice,
            ]),
            notes: [
                .reported(ParameterStatus(name: "TimeZone", value: "UTC")),
                .reported(ParameterStatus(name: "DateStyle", value: "")),
                .reported(ParameterStatus(name: "a", value: "b")), .ready(.idle, isQuiet: true),
            ]
        ),
        ServerTranscript(
            "notice while the server skips",
            .sent(ask(.parse)),
            .received([Wire.error("no"), Wire.notice]),
            .sent(ask(.sync)),
            .received([Wire.notification, Wire.ready()]),
            notes: [.failed("no"), .ready(.idle, isQuiet: true)]
        ),
    ]

    private static let internals = [
        ServerTranscript(
            "the pooler's query in front of the client's",
            .sent([own(.query)] + ask(.query)),
            .received([
                Wire.rowDescription, Wire.row("x"), Wire.parameterStatus("TimeZone", "UTC"),
                Wire.notice, Wire.complete("SELECT 1"), Wire.ready(), Wire.rowDescription,
                Wire.row("1"), Wire.complete("SELECT 1"), Wire.ready(.inTransaction),
            ]),
            forwards: [
                Wire.rowDescription, Wire.row("1"), Wire.complete("SELECT 1"),
                Wire.ready(.inTransaction),
            ],
            notes: [
                .reported(ParameterStatus(name: "TimeZone", value: "UTC")),
                .ready(.idle, .pooler, isQuiet: false), .ready(.inTransaction, isQuiet: true),
            ],
            isCleanAtEnd: false
        ),
        ServerTranscript(
            "the pooler's query fails",
            .sent([own(.query)]),
            .received([Wire.error("no"), Wire.ready()]),
            forwards: [],
            notes: [.failed("no", .pooler), .ready(.idle, .pooler, isQuiet: true)]
        ),
        ServerTranscript(
            "the pooler's Parse and Close in a batch",
            .sent(
                [own(.close, statement: 4), own(.parse, statement: 5)] + ask(.bind, .execute, .sync)
            ),
            .received([
                Wire.closeComplete, Wire.parseComplete, Wire.bindComplete, Wire.row("1"),
                Wire.complete("SELECT 1"), Wire.ready(),
            ]),
            forwards: [Wire.bindComplete, Wire.row("1"), Wire.complete("SELECT 1"), Wire.ready()],
            notes: [
                .answered(own(.close, statement: 4)), .answered(own(.parse, statement: 5)),
                .ready(.idle, isQuiet: true),
            ]
        ),
        ServerTranscript(
            "the pooler asks for a description behind the client's Parse and its own",
            .sent(
                [parse7, own(.describe, statement: 7), own(.parse, statement: 8)]
                    + [own(.describe, statement: 8)] + ask(.describe, .sync)
            ),
            .received([
                Wire.parseComplete, Wire.parameterDescription, Wire.rowDescription,
                Wire.parseComplete, Wire.parameterDescription, Wire.noData,
                Wire.parameterDescription, Wire.rowDescription, Wire.ready(),
            ]),
            forwards: [
                Wire.parseComplete, Wire.parameterDescription, Wire.rowDescription, Wire.ready(),
            ],
            notes: [
                .answered(parse7), .parameters([0, 1, 0, 0, 0, 25]),
                .described(7, Array(Wire.rowDescription.dropFirst(5))),
                .answered(own(.parse, statement: 8)), .parameters([0, 1, 0, 0, 0, 25]),
                .described(8, []), .ready(.idle, isQuiet: true),
            ]
        ),
        ServerTranscript(
            "the pooler's Describe fails: the client gets the error",
            .sent([own(.parse, statement: 5), own(.describe, statement: 5)] + ask(.bind, .sync)),
            .received([Wire.parseComplete, Wire.error("canceled"), Wire.ready()]),
            forwards: [Wire.error("canceled"), Wire.ready()],
            notes: [
                .answered(own(.parse, statement: 5)), .failed("canceled", .pooler),
                .undone(own(.describe, statement: 5)), .ready(.idle, isQuiet: true),
            ]
        ),
        ServerTranscript(
            "the pooler's Parse fails: the client gets the error",
            .sent(
                [own(.close, statement: 4), own(.parse, statement: 5)] + ask(.bind, .execute, .sync)
            ),
            .received([Wire.closeComplete, Wire.error("gone"), Wire.ready()]),
            forwards: [Wire.error("gone"), Wire.ready()],
            notes: [
                .answered(own(.close, statement: 4)), .failed("gone", .pooler),
                .undone(own(.parse, statement: 5)), .ready(.idle, isQuiet: true),
            ]
        ),
    ]

    private static let tracked = [
        ServerTranscript(
            "answers that no server gives come in their order",
            .sent([synthetic(.parse, statement: 1)] + ask(.bind, .execute)),
            .sent([synthetic(.close, statement: 1), synthetic(.parse, statement: 2)]),
            .sent(ask(.sync) + [synthetic(.parse, statement: 3)] + ask(.sync)),
            .received([
                Wire.bindComplete, Wire.row("1"), Wire.complete("SELECT 1"), Wire.ready(),
                Wire.ready(),
            ]),
            forwards: [
                Wire.parseComplete, Wire.bindComplete, Wire.row("1"), Wire.complete("SELECT 1"),
                Wire.closeComplete, Wire.parseComplete, Wire.ready(), Wire.parseComplete,
                Wire.ready(),
            ],
            notes: [
                .gave(synthetic(.parse, statement: 1)), .answered(ask(.execute)[0]),
                .gave(synthetic(.close, statement: 1)), .gave(synthetic(.parse, statement: 2)),
                .ready(.idle, isQuiet: false), .gave(synthetic(.parse, statement: 3)),
                .ready(.idle, isQuiet: true),
            ]
        ),
        ServerTranscript(
            "answers after Describe and after an empty statement",
            .sent(ask(.describe) + [synthetic(.parse, statement: 1)] + ask(.describe)),
            .sent([synthetic(.parse, statement: 2)] + ask(.execute)),
            .sent([synthetic(.parse, statement: 3)] + ask(.execute)),
            .sent([synthetic(.close, statement: 3)] + ask(.sync)),
            .received([
                Wire.rowDescription, Wire.noData, Wire.emptyQueryResponse, Wire.portalSuspended,
                Wire.ready(),
            ]),
            forwards: [
                Wire.rowDescription, Wire.parseComplete, Wire.noData, Wire.parseComplete,
                Wire.emptyQueryResponse, Wire.parseComplete, Wire.portalSuspended,
                Wire.closeComplete, Wire.ready(),
            ],
            notes: [
                .answered(ask(.describe)[0]), .gave(synthetic(.parse, statement: 1)),
                .answered(ask(.describe)[0]), .gave(synthetic(.parse, statement: 2)),
                .answered(ask(.execute)[0]), .gave(synthetic(.parse, statement: 3)),
                .answered(ask(.execute)[0]), .gave(synthetic(.close, statement: 3)),
                .ready(.idle, isQuiet: true),
            ]
        ),
        ServerTranscript(
            "an answer that is due while a notice passes",
            .received([Wire.notice, Wire.notification]),
            .sent([synthetic(.parse, statement: 1)] + ask(.sync)),
            .received([Wire.notice, Wire.ready()]),
            forwards: [
                Wire.notice, Wire.notification, Wire.parseComplete, Wire.notice, Wire.ready(),
            ],
            notes: [.gave(synthetic(.parse, statement: 1)), .ready(.idle, isQuiet: true)]
        ),
        ServerTranscript(
            "a tracked Parse succeeds",
            .sent([parse7] + ask(.sync)),
            .received([Wire.parseComplete, Wire.ready()]),
            notes: [.answered(parse7), .ready(.idle, isQuiet: true)]
        ),
        ServerTranscript(
            "what was skipped is undone, the newest first",
            .sent([parse7, synthetic(.parse, statement: 8), own(.parse, statement: 9)]),
            .sent(ask(.bind) + [synthetic(.close, statement: 7)] + ask(.sync)),
            .received([Wire.error("no"), Wire.ready()]),
            notes: [
                .failed("no"), .undone(synthetic(.close, statement: 7)),
                .undone(own(.parse, statement: 9)), .undone(synthetic(.parse, statement: 8)),
                .undone(parse7), .ready(.idle, isQuiet: true),
            ]
        ),
        ServerTranscript(
            "what is sent while the server skips is undone, the newest first",
            .sent(ask(.bind)),
            .received([Wire.error("no")]),
            .sent([own(.parse, statement: 1), own(.close, statement: 1), parse7]),
            .sent(ask(.sync)),
            .received([Wire.ready()]),
            notes: [
                .failed("no"), .undone(parse7), .undone(own(.close, statement: 1)),
                .undone(own(.parse, statement: 1)), .ready(.idle, isQuiet: true),
            ]
        ),
        ServerTranscript(
            "all statements are discarded",
            .sent(ask(.query, .query) + ask(.execute, .sync)),
            .received([
                Wire.complete("DEALLOCATE ALL"), Wire.ready(), Wire.complete("INSERT 0 10"),
                Wire.complete("ALTER DATABASE"), Wire.complete("DISCARD ALL"), Wire.ready(),
                Wire.complete("DISCARD ALL"), Wire.ready(),
            ]),
            notes: [
                .statementsDiscarded, .ready(.idle, isQuiet: false), .statementsDiscarded,
                .ready(.idle, isQuiet: false), .statementsDiscarded, .ready(.idle, isQuiet: true),
            ]
        ),
        ServerTranscript(
            "the pooler discards all statements",
            .sent([own(.query)]),
            .received([Wire.complete("DISCARD ALL"), Wire.ready()]),
            forwards: [],
            notes: [.statementsDiscarded, .ready(.idle, .pooler, isQuiet: true)]
        ),
    ]

    private static let endings = [
        fatalInAQuery,
        ServerTranscript(
            "an idle server dies",
            .received([Wire.error("shutting down", .fatal)]),
            notes: [.failed("shutting down")]
        ),
        ServerTranscript(
            "the server dies in a pipeline",
            .sent([parse7] + ask(.bind, .execute, .sync)),
            .received([Wire.parseComplete, Wire.error("shutting down", .fatal)]),
            notes: [.answered(parse7), .failed("shutting down")],
            isCleanAtEnd: false
        ),
        ServerTranscript(
            "an answer to a question that was not asked",
            .sent(ask(.bind, .execute, .sync)),
            .received([Wire.notice, Wire.parseComplete, Wire.bindComplete]),
            forwards: [Wire.notice],
            notes: [.violation],
            isCleanAtEnd: false
        ),
        ServerTranscript(
            "ReadyForQuery too many",
            .sent(ask(.sync)),
            .received([Wire.ready(), Wire.ready()]),
            forwards: [Wire.ready()],
            notes: [.ready(.idle, isQuiet: true), .violation]
        ),
    ]

    static let fatalInAQuery = ServerTranscript(
        "the server dies in a query",
        .sent(ask(.query)),
        .received([
            Wire.rowDescription, Wire.row("1"), Wire.error("terminating connection", .fatal),
        ]),
        notes: [.failed("terminating connection")],
        isCleanAtEnd: false
    )
}
