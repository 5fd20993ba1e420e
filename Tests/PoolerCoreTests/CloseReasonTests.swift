import PoolerCore
import PostgresWire
import Testing

/// The words that scripts and drivers match on.
@Suite struct CloseReasonTests {
    @Test(arguments: [
        (CloseReason.clientLoginTimeout, "client_login_timeout"),
        (.clientLoginTimeoutServerDown, "client_login_timeout (server down)"),
        (.clientIdleTimeout, "client_idle_timeout"),
        (.queryTimeout, "query timeout"),
        (.queuedQueryTimeout, "query_timeout"),
        (.queryWaitTimeout, "query_wait_timeout"),
        (.idleTransactionTimeout, "idle transaction timeout"),
        (.transactionTimeout, "transaction timeout"),
        (.serverConnectionLost, "server conn crashed?"),
        (
            .serverLoginFailing("connect failed"),
            "server login has been failing, cached error: connect failed (server_login_retry)"
        ),
        (.databaseRemoved, "database removed"),
        (.adminForcedDisconnect, "admin forced disconnect"),
        (.poolerShuttingDown, "pooler is shutting down"),
        (.serverShuttingDown, "server shutting down"),
        (.settingsRejected, "invalid server parameter"),
        (
            .transactionInStatementMode,
            "transaction blocks not allowed in statement pooling mode"
        ),
        (.clientProtocolViolation("bad packet header"), "bad packet header"),
    ])
    func clientsAreToldAsPgBouncerTells(_ reason: CloseReason, text: String) {
        #expect(reason.text == text)
        #expect(reason.response == ErrorResponse(.fatal, .protocolViolation, text))
        #expect(reason.isPoolerError)
    }

    @Test(arguments: [CloseReason.clientCloseRequest, .clientUnexpectedEOF, .serverSaidWhy])
    func whoKnowsAlreadyIsToldNothing(_ reason: CloseReason) {
        #expect(reason.response == nil && !reason.isPoolerError && !reason.text.isEmpty)
    }

    @Test func refusalsKeepTheirOwnWords() {
        let response = ErrorResponse(.fatal, "3D000", "database \"x\" does not exist")
        for reason in [CloseReason.clientRefused(response), .serverLoginFailed(response)] {
            #expect(reason.response == response)
            #expect(reason.text == response.message.text)
        }
    }

    /// Clients wait on where the next attempt may succeed at once.
    @Test(arguments: [
        ("57P01", true), ("57P02", true), ("57P03", true), ("28P01", false), ("3D000", false),
        ("53300", false),
    ])
    func someFailuresOfALoginPass(_ state: String, _ isTemporary: Bool) {
        let response = ErrorResponse(.fatal, SQLState(ByteString(state)), "words")
        #expect(CloseReason.serverLoginFailed(response).isTemporary == isTemporary)
        #expect(!CloseReason.serverConnectFailed.isTemporary)
    }
}
