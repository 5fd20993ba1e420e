// Logging in to a server: from the StartupMessage to the first ReadyForQuery. It answers the server's
// authentication, and collects what the server says about itself on the way.

public import PostgresWire

/// The state of a login to a server.
public struct ServerLogin {
    /// What to do next.
    public enum Action: Equatable {
        case none
        case send([UInt8])
        /// The server is ready for queries.
        case ready
        /// Derive keys, which takes long, and tell `derived`.
        case derive(SCRAMKeyParameters)
        case failed(CloseReason)
    }

    private var authentication: ServerAuthentication
    private var isAuthenticated = false
    /// The settings that the server reported.
    public private(set) var parameters: [ParameterStatus] = []
    /// What a CancelRequest for this server has to carry; nil when the server gave no key.
    public private(set) var cancelKey: CancelKey?

    /// The longest message and the most parameters that a server may send before it is ready.
    public static let messageLimit = 65_536
    private static let parameterLimit = 512

    public init(_ authentication: ServerAuthentication) {
        self.authentication = authentication
    }

    /// Worth keeping for the next login, once this one has succeeded.
    public var derivedKeys: DerivedKeys? { authentication.derivedKeys }

    /// Takes one complete message.
    public mutating func received(_ type: BackendMessageType, _ body: RawSpan) -> Action {
        do throws(WireError) {
            switch type {
            case .authentication:
                return answer(try AuthenticationRequest(decoding: body))
            case .errorResponse:
                var response = try ErrorResponse(decoding: body)
                response.severity = ByteString(Severity.fatal.rawValue)
                return .failed(.serverLoginFailed(response))
            case .noticeResponse, .negotiateProtocolVersion:
                return .none
            case .parameterStatus where isAuthenticated:
                guard parameters.count < Self.parameterLimit else { throw .invalidField }
                parameters.append(try ParameterStatus(decoding: body))
                return .none
            case .backendKeyData where isAuthenticated:
                cancelKey = try CancelKey(decodingBackendKeyData: body)
                return .none
            case .readyForQuery where isAuthenticated:
                return .ready
            default:
                throw .invalidField
            }
        } catch {
            return .failed(.serverProtocolViolation)
        }
    }

    /// Takes the keys that were asked for; nil when they could not be derived.
    public mutating func derived(_ keys: SCRAMKeys?) -> Action {
        follow(authentication.derived(keys))
    }

    private mutating func answer(_ request: AuthenticationRequest) -> Action {
        follow(authentication.received(request))
    }

    private mutating func follow(_ action: ServerAuthentication.Action) -> Action {
        switch action {
        case .derive(let parameters): return .derive(parameters)
        case .send(let bytes): return .send(bytes)
        case .none: return .none
        case .authenticated:
            isAuthenticated = true
            return .none
        case .failed(let failure):
            return .failed(
                .serverLoginFailed(ErrorResponse(.fatal, .protocolViolation, failure.message))
            )
        }
    }
}
