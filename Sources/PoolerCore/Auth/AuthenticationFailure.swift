// Why a login failed, as two tables: what the peer is told, and what the log says. The peer of a
// failed client login learns nothing that would tell a known user from an unknown one.

public import PostgresWire

/// Why a client's login failed.
public enum AuthenticationFailure: Error, Equatable, Sendable {
    case trustRejected
    case wrongPassword
    case saslFailed(SCRAMError)
    case invalidMechanism
    case emptyPassword
    case malformedMessage(WireError)
    case unexpectedMessage
    case digestUnavailable
    /// No rule of auth_hba_file fits.
    case noRule
    /// A rule says so.
    case rejected
    case peerRejected
    /// The client's certificate does not say that it is the user.
    case certificateRejected(CertificateFailure)
    /// A rule asks for a certificate beside something else, and the client has shown none.
    case certificateRequired
    /// auth_query has no such user.
    case noSuchUser
    /// The configuration makes the login impossible; the log says how.
    case misconfigured

    /// The text that the client gets, PgBouncer's where PgBouncer has one.
    public var message: String {
        switch self {
        case .trustRejected: "\"trust\" authentication failed"
        case .wrongPassword: "password authentication failed"
        case .saslFailed: "SASL authentication failed"
        case .invalidMechanism: "client selected an invalid SASL authentication mechanism"
        case .emptyPassword: "empty password returned by client"
        case .malformedMessage: "invalid password packet size"
        case .unexpectedMessage: "unexpected password packet"
        case .digestUnavailable: "authentication is not available"
        case .noRule: "no authentication method is found"
        case .rejected: "login rejected"
        case .peerRejected: "unix socket login rejected"
        case .certificateRejected: "certificate authentication failed"
        case .certificateRequired: "connection requires a valid client certificate"
        case .noSuchUser: "no such user"
        case .misconfigured: "bouncer config error"
        }
    }

    /// What the log may add, or nil when `message` says all.
    public var logDetail: String? {
        switch self {
        case .saslFailed(let error): "\(error)"
        case .malformedMessage(let error): "\(error)"
        case .certificateRejected(let failure): failure.logText
        case .digestUnavailable: "OpenSSL refused to compute a digest"
        case .trustRejected, .wrongPassword, .invalidMechanism, .emptyPassword, .unexpectedMessage,
            .noRule, .rejected, .peerRejected, .certificateRequired, .noSuchUser, .misconfigured:
            nil
        }
    }

    /// The ErrorResponse for the client.
    ///
    /// PostgreSQL would say 28P01; PgBouncer says 08P01, and that is what scripts match. Of
    /// SCRAM-SHA-256-PLUS and clientcert, which PgBouncer does not have, it is PostgreSQL's.
    public var errorResponse: ErrorResponse {
        if case .saslFailed(let error) = self, let response = error.channelBindingResponse {
            return response
        }
        if case .certificateRequired = self {
            return ErrorResponse(.fatal, .invalidAuthorizationSpecification, message)
        }
        return ErrorResponse(.fatal, .protocolViolation, message)
    }
}

extension SCRAMError {
    /// What PostgreSQL says where channel binding fails; nil for all else.
    fileprivate var channelBindingResponse: ErrorResponse? {
        switch self {
        case .unexpectedChannelBinding:
            ErrorResponse(
                .fatal,
                .protocolViolation,
                "malformed SCRAM message",
                detail: "The client selected SCRAM-SHA-256 without channel binding, but the SCRAM "
                    + "message includes channel binding data."
            )
        case .missingChannelBinding:
            ErrorResponse(
                .fatal,
                .protocolViolation,
                "malformed SCRAM message",
                detail: "The client selected SCRAM-SHA-256-PLUS, but the SCRAM message does not "
                    + "include channel binding data."
            )
        case .unsupportedChannelBinding(let name):
            ErrorResponse(
                .fatal,
                .protocolViolation,
                "unsupported SCRAM channel-binding type \"\(name)\""
            )
        case .channelBindingDowngrade:
            ErrorResponse(
                .fatal,
                .invalidAuthorizationSpecification,
                "SCRAM channel binding negotiation error",
                detail:
                    "The client supports SCRAM channel binding but thinks the server does not.  "
                    + "However, this server does support channel binding."
            )
        case .wrongChannelBinding:
            ErrorResponse(
                .fatal,
                .invalidAuthorizationSpecification,
                "SCRAM channel binding check failed"
            )
        case .messageTooLong, .malformedMessage, .unexpectedMessage, .authorizationIdentity,
            .unsupportedExtension, .channelBindingMismatch, .nonceMismatch, .wrongProof,
            .unknownUser, .unusableSecret,
            .invalidSalt, .invalidIterationCount, .refusedByServer, .wrongServerSignature,
            .digestUnavailable:
            nil
        }
    }
}

/// Why the pooler could not log in to a server, apart from the server's own ErrorResponse.
public enum ServerAuthenticationFailure: Error, Equatable, Sendable {
    /// What is known of the user cannot answer what the server asks.
    case wrongPasswordType
    case noSupportedMechanism
    case invalidServerSignature
    case digestUnavailable
    case unsupportedMethod(code: Int32)
    case unexpectedMessage
    case saslFailed(SCRAMError)
    /// Channel binding is required, and there is nothing to bind to.
    case channelBindingUnavailable
    /// Channel binding is required, and the server asks for nothing that has it.
    case channelBindingNotOffered

    /// The text for the log and for the clients that wait for the server.
    public var message: String {
        "server login failed: \(reason)"
    }

    private var reason: String {
        switch self {
        case .wrongPasswordType:
            "wrong password type"
        case .noSupportedMechanism:
            "none of the server's SASL authentication mechanisms are supported"
        case .invalidServerSignature:
            "invalid server signature"
        case .digestUnavailable:
            "failed to verify server signature"
        case .unsupportedMethod(let code):
            "unknown/unsupported auth method: \(code)"
        case .unexpectedMessage:
            "authentication message out of order"
        case .saslFailed(let error):
            "SCRAM exchange failed (\(error))"
        case .channelBindingNotOffered:
            "channel binding is required, but server did not offer an authentication method that "
                + "supports channel binding"
        case .channelBindingUnavailable:
            "channel binding is required, but there is no TLS, or no hash of the server's certificate"
        }
    }
}
