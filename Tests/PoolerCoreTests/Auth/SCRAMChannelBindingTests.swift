import Digests
import PoolerCore
import PostgresWire
import TestSupport
import Testing

@Suite struct SCRAMChannelBindingTests {
    private static let hash = AuthFixtures.certificateHash
    private static let plain: ByteString = "SCRAM-SHA-256"
    private static let plus: ByteString = "SCRAM-SHA-256-PLUS"

    // MARK: Exchanges computed by other means

    struct Exchange: Sendable {
        let binding: SCRAMChannelBinding
        let clientFirst: String
        /// Up to the nonce, and behind it.
        let clientFinal: (String, String)
        let serverFinal: String
    }

    /// With the password, salt, count and nonces of RFC 7677, section 3.
    ///
    /// Computed with Python's hashlib and hmac. The hashes are those of the word "certificate".
    static let exchanges = [
        Exchange(
            binding: .endPoint(hash: bytes("A9Zt0Ig1wco/EozOrNHzGslBYwlrIPRFroQoW8CDLXI=")),
            clientFirst: "p=tls-server-end-point,,n=,r=rOprNGfwEbeRWgbNEkqO",
            clientFinal: (
                "c=cD10bHMtc2VydmVyLWVuZC1wb2ludCwsA9Zt0Ig1wco/EozOrNHzGslBYwlrIPRFroQoW8CDLXI=",
                "+zCdMK4l2JRBX6aaOY99rhAluhUDgC1judMOSldbSW0="
            ),
            serverFinal: "v=hvxs8NC6p2j23GdNkoOcIr90RKXwCdx7cZgArRYoUIo="
        ),
        Exchange(
            binding: .endPoint(
                hash: bytes(
                    "PZ572aTLC1kcNnRh5uj2JRgdZb1vRcFpXePE5fGmstxb5Y6PIvnY59FgV63vBYdDzpsi3X0z89tjdMBb"
                        + "4O/Zgg=="
                )
            ),
            clientFirst: "p=tls-server-end-point,,n=,r=rOprNGfwEbeRWgbNEkqO",
            clientFinal: (
                "c=cD10bHMtc2VydmVyLWVuZC1wb2ludCwsPZ572aTLC1kcNnRh5uj2JRgdZb1vRcFpXePE5fGmstxb5Y6P"
                    + "IvnY59FgV63vBYdDzpsi3X0z89tjdMBb4O/Zgg==",
                "DLUYYVlYnXEHS96EXIZLtlS6lfWaTAxqYDtGBLGTDOA="
            ),
            serverFinal: "v=KczLUIM0mcAp3Zr2YI8YXgsNLqt5+smB970Z7ujP5hE="
        ),
        Exchange(
            binding: .unavailable,
            clientFirst: "y,,n=,r=rOprNGfwEbeRWgbNEkqO",
            clientFinal: ("c=eSws", "VpuC5DGQa5ro9tXE9MnKs69NH1nxnuregZZcclqIGfM="),
            serverFinal: "v=FOmOj9BpTGwvnzwBtWQjBaPmVxT9I8IeHBOhcIPu3us="
        ),
    ]

    private static func bytes(_ base64: String) -> [UInt8] {
        Base64.decode(Array(base64.utf8)) ?? []
    }

    @Test(arguments: exchanges) func exchangesComputedByOtherMeans(_ wanted: Exchange) throws {
        let secret = try SCRAMSecret.derive(
            password: "pencil",
            salt: Self.bytes("W22ZaJ0SNY7soEsUEjb6gQ=="),
            iterations: 4_096
        )
        var server = SCRAMServerExchange(
            secret: secret,
            channelBinding: wanted.binding,
            nonceText: Array("%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0".utf8)
        )
        _ = try server.received(clientFirst: Array(wanted.clientFirst.utf8))
        let nonce = ",r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
        let clientFinal = "\(wanted.clientFinal.0)\(nonce),p=\(wanted.clientFinal.1)"
        let success = try server.received(clientFinal: Array(clientFinal.utf8))
        #expect(String(decoding: success.serverFinal, as: UTF8.self) == wanted.serverFinal)
    }

    /// What this side writes as a client is what the other side was shown to read.
    @Test func clientsWriteWhatServersRead() throws {
        let secret = try AuthFixtures.scramSecret()
        let keys = try SCRAMKeys.derive(
            password: AuthFixtures.password,
            salt: secret.salt,
            iterations: secret.iterations
        )
        for (client, server) in [
            (SCRAMChannelBinding.unavailable, SCRAMChannelBinding.unavailable),
            (.unavailable, .unused),
            (.unused, .unavailable), (.endPoint(hash: Self.hash), .endPoint(hash: Self.hash)),
        ] {
            var near = SCRAMClientExchange(
                channelBinding: client,
                nonce: AuthFixtures.clientNonce
            )
            var far = SCRAMServerExchange(
                secret: secret,
                channelBinding: server,
                nonce: AuthFixtures.poolerNonce
            )
            _ = try near.received(serverFirst: try far.received(clientFirst: near.clientFirst))
            let success = try far.received(clientFinal: try near.answer(with: keys))
            try near.received(serverFinal: success.serverFinal)
        }
    }

    // MARK: What the pooler refuses of its clients

    @Test(
        arguments: [
            (.unavailable, "p=tls-server-end-point,,n=,r=a", .unexpectedChannelBinding),
            (.unused, "p=tls-server-end-point,,n=,r=a", .unexpectedChannelBinding),
            (.unused, "y,,n=,r=a", .channelBindingDowngrade),
            (.unused, "y", .channelBindingDowngrade),
            (.endPoint(hash: hash), "n,,n=,r=a", .missingChannelBinding),
            (.endPoint(hash: hash), "y,,n=,r=a", .missingChannelBinding),
            (.endPoint(hash: hash), "", .malformedMessage),
            (.endPoint(hash: hash), "x,,n=,r=a", .malformedMessage),
            (.endPoint(hash: hash), "p", .malformedMessage),
            (.endPoint(hash: hash), "p,,n=,r=a", .malformedMessage),
            (.endPoint(hash: hash), "p:tls-server-end-point,,n=,r=a", .malformedMessage),
            (.endPoint(hash: hash), "p=tls-server-end-point", .malformedMessage),
            (.endPoint(hash: hash), "p=tls-server-end-point,", .malformedMessage),
            (.endPoint(hash: hash), "p=tls-server-end-point,,", .malformedMessage),
            (.endPoint(hash: hash), "p=tls-server-end-point,n=,r=a", .malformedMessage),
            (.endPoint(hash: hash), "p=tls-server-end-point,a=x,n=,r=a", .authorizationIdentity),
            (.endPoint(hash: hash), "p=,,n=,r=a", .unsupportedChannelBinding(name: "")),
            (
                .endPoint(hash: hash), "p=tls-unique,,n=,r=a",
                .unsupportedChannelBinding(name: "tls-unique")
            ),
            (
                .endPoint(hash: hash), "p=TLS-server-end-point,,n=,r=a",
                .unsupportedChannelBinding(name: "TLS-server-end-point")
            ),
            (
                .endPoint(hash: hash), "p=tls-server-end-points-and-many-more-letters,,n=,r=a",
                .unsupportedChannelBinding(name: "tls-server-end-points-and-many")
            ),
            (
                .endPoint(hash: hash), "p=\u{E9}\u{7}\"x,,n=,r=a",
                .unsupportedChannelBinding(name: "???\"x")
            ),
        ] as [(SCRAMChannelBinding, String, SCRAMError)]
    )
    func refusesClientFirst(_ binding: SCRAMChannelBinding, _ text: String, _ error: SCRAMError)
        throws
    {
        var server = SCRAMServerExchange(
            secret: try AuthFixtures.scramSecret(),
            channelBinding: binding,
            nonce: AuthFixtures.poolerNonce
        )
        #expect(throws: error) { try server.received(clientFirst: Array(text.utf8)) }
        #expect(throws: SCRAMError.unexpectedMessage) {
            try server.received(clientFirst: Array("n,,n=,r=abc".utf8))
        }
    }

    /// No header makes the reader trap, and only those that say what was chosen get through.
    @Test func anyHeaderIsReadOrRefused() throws {
        var random = SplitMix(seed: 11)
        let parts = [
            "p", "=", "tls-server-end-point", "tls-unique", ",", ",,", "n", "y", "a=", "n=,r=abc",
            "m=",
            "\u{E9}", "p=tls-server-end-point,,n=,r=abc", "n,,", "y,,",
        ]
        let secret = try AuthFixtures.scramSecret()
        let allowed: [(SCRAMChannelBinding, [String])] = [
            (.unavailable, ["n,,", "y,,"]), (.unused, ["n,,"]),
            (.endPoint(hash: Self.hash), ["p=tls-server-end-point,,"]),
        ]
        var readCount = 0
        for _ in 0..<5_000 {
            var text = ""
            for _ in 0..<Int.random(in: 0..<6, using: &random) {
                text += parts.randomElement(using: &random) ?? ""
            }
            for (binding, headers) in allowed {
                var server = SCRAMServerExchange(
                    secret: secret,
                    channelBinding: binding,
                    nonce: AuthFixtures.poolerNonce
                )
                guard (try? server.received(clientFirst: Array(text.utf8))) != nil else { continue }
                readCount += 1
                #expect(headers.contains { text.hasPrefix("\($0)n=,r=abc") })
            }
        }
        #expect(readCount > 0)
    }

    /// Another certificate, part of one, none, and the hash without the header.
    @Test func anotherCertificateIsRefused() throws {
        let header = Array("p=tls-server-end-point,,".utf8)
        for data in [
            header, header + Self.hash.dropLast(), header + Self.hash + [0],
            header + Self.hash.map { $0 ^ 1 }, Self.hash, [], Array("n,,".utf8),
        ] {
            var server = SCRAMServerExchange(
                secret: try AuthFixtures.scramSecret(),
                channelBinding: .endPoint(hash: Self.hash),
                nonce: AuthFixtures.poolerNonce
            )
            _ = try server.received(clientFirst: header + Array("n=,r=a".utf8))
            let final = Array("c=".utf8) + Base64.encode(data) + Array(",r=a,p=AAAA".utf8)
            #expect(throws: SCRAMError.wrongChannelBinding) {
                try server.received(clientFinal: final)
            }
        }
    }

    /// PostgreSQL's words: PgBouncer has none.
    @Test func theWordsAreThoseOfPostgreSQL() {
        for (error, code, message) in [
            (.channelBindingDowngrade, "28000", "SCRAM channel binding negotiation error"),
            (.wrongChannelBinding, "28000", "SCRAM channel binding check failed"),
            (.unexpectedChannelBinding, "08P01", "malformed SCRAM message"),
            (.missingChannelBinding, "08P01", "malformed SCRAM message"),
            (
                .unsupportedChannelBinding(name: "tls-unique"), "08P01",
                "unsupported SCRAM channel-binding type \"tls-unique\""
            ),
            (.channelBindingMismatch, "08P01", "SASL authentication failed"),
            (.wrongProof, "08P01", "SASL authentication failed"),
        ] as [(SCRAMError, ByteString, ByteString)] {
            let response = AuthenticationFailure.saslFailed(error).errorResponse
            #expect(response.severity == "FATAL")
            #expect(response.sqlState.code == code)
            #expect(response.message == message)
        }
    }

    // MARK: Logins of clients

    @Test func offered() throws {
        for (hash, mechanisms) in [(nil, [Self.plain]), (Self.hash, [Self.plus, Self.plain])]
            as [([UInt8]?, [ByteString])]
        {
            for secret in [nil, .plain("x"), .scram(try AuthFixtures.scramSecret())]
                as [StoredSecret?]
            {
                var login = try AuthFixtures.clientLogin(
                    .scramSHA256,
                    secret,
                    channelBinding: hash
                )
                guard case .send(let message) = login.started() else {
                    Issue.record("nothing was asked")
                    continue
                }
                #expect(
                    try AuthenticationRequest(message: message) == .sasl(mechanisms: mechanisms)
                )
            }
        }
    }

    private func initialResponse(_ mechanism: ByteString, _ data: ByteString) -> [UInt8] {
        var writer = ByteWriter()
        writer.saslInitialResponse(
            SASLInitialResponse(mechanism: mechanism, initialResponse: data)
        )
        return Array(writer.bytes.dropFirst(MessageHeader.byteCount))
    }

    @Test(
        arguments: [
            (plain, "y,,n=,r=abc", .saslFailed(.channelBindingDowngrade)),
            (plain, "p=tls-server-end-point,,n=,r=abc", .saslFailed(.unexpectedChannelBinding)),
            (plus, "n,,n=,r=abc", .saslFailed(.missingChannelBinding)),
            (
                plus, "p=tls-unique,,n=,r=abc",
                .saslFailed(.unsupportedChannelBinding(name: "tls-unique"))
            ),
            ("SCRAM-SHA-1-PLUS", "p=tls-server-end-point,,n=,r=abc", .invalidMechanism),
        ] as [(ByteString, ByteString, AuthenticationFailure)]
    )
    func refusals(_ mechanism: ByteString, _ data: ByteString, failure: AuthenticationFailure)
        throws
    {
        for secret in [nil, .unusable, .plain("x"), .scram(try AuthFixtures.scramSecret())]
            as [StoredSecret?]
        {
            var login = try AuthFixtures.clientLogin(
                .scramSHA256,
                secret,
                channelBinding: Self.hash
            )
            _ = login.started()
            #expect(login.received(body: initialResponse(mechanism, data)) == .failed(failure))
            #expect(
                login.received(body: initialResponse(Self.plain, "n,,n=,r=abc"))
                    == .failed(.unexpectedMessage)
            )
        }
    }

    @Test func nobodyCanChooseWhatWasNotOffered() throws {
        var login = try AuthFixtures.clientLogin(.scramSHA256, .plain("x"))
        _ = login.started()
        let body = initialResponse(Self.plus, "p=tls-server-end-point,,n=,r=abc")
        #expect(login.received(body: body) == .failed(.invalidMechanism))
    }

    // MARK: Both machines

    private func run(
        _ secret: StoredSecret?,
        _ credentials: Credentials = .plain(AuthFixtures.password),
        near: [UInt8]?,
        far: [UInt8]?,
        isRequired: Bool = false
    ) throws -> (ClientAuthentication.Action, Conversation) {
        var conversation = Conversation(
            client: AuthFixtures.serverLogin(
                credentials,
                channelBinding: near,
                requiresChannelBinding: isRequired
            ),
            pooler: try AuthFixtures.clientLogin(.scramSHA256, secret, channelBinding: far)
        )
        return (try conversation.run(), conversation)
    }

    /// Stored secrets and those made of plain passwords; also where only one side can bind, or neither.
    @Test func rightPasswordsAreAccepted() throws {
        for secret in [.plain(AuthFixtures.password), .scram(try AuthFixtures.scramSecret())]
            as [StoredSecret]
        {
            for (near, far) in [
                (Self.hash, Self.hash), (nil, Self.hash), (Self.hash, nil), (nil, nil),
            ]
                as [([UInt8]?, [UInt8]?)]
            {
                let (action, conversation) = try run(secret, near: near, far: far)
                guard case .succeeded = action else {
                    Issue.record("refused: \(action)")
                    continue
                }
                #expect(conversation.clientResult == .authenticated)
                let first = ByteString(conversation.messages[1])
                let isBound = first.text.contains("p=tls-server-end-point")
                #expect(isBound == (near != nil && far != nil))
                #expect(first.text.contains("y,,") == (near != nil && far == nil))
            }
        }
    }

    /// Somebody in the middle has another certificate, whatever they know of the password.
    @Test func anotherCertificateInTheMiddle() throws {
        for secret in [nil, .plain(AuthFixtures.password), .scram(try AuthFixtures.scramSecret())]
            as [StoredSecret?]
        {
            let (action, _) = try run(secret, near: Self.hash.reversed(), far: Self.hash)
            #expect(action == .failed(.saslFailed(.wrongChannelBinding)))
        }
    }

    @Test func unknownUsersLookLikeKnownOnes() throws {
        let secret = StoredSecret.scram(try AuthFixtures.scramSecret())
        let (known, knownTalk) = try run(secret, .plain("wrong"), near: Self.hash, far: Self.hash)
        let (unknown, unknownTalk) = try run(nil, near: Self.hash, far: Self.hash)
        #expect(known == .failed(.saslFailed(.wrongProof)))
        #expect(unknown == .failed(.saslFailed(.unknownUser)))
        #expect(knownTalk.messages.map(\.count) == unknownTalk.messages.map(\.count))
    }

    /// What a client proved over one connection logs the pooler in over another, whatever each is bound
    /// to.
    @Test func keysOfAClientOpenItsServer() throws {
        let secret = StoredSecret.scram(try AuthFixtures.scramSecret())
        for clientHash in [nil, Self.hash] {
            let (action, _) = try run(secret, near: clientHash, far: clientHash)
            guard case .succeeded(let credentials, _) = action, case .scram = credentials else {
                Issue.record("no keys were won")
                continue
            }
            for serverHash in [nil, Array(Self.hash.reversed())] {
                let (action, conversation) = try run(
                    secret,
                    credentials,
                    near: serverHash,
                    far: serverHash,
                    isRequired: serverHash != nil
                )
                guard case .succeeded = action else {
                    Issue.record("refused: \(action)")
                    continue
                }
                #expect(conversation.clientResult == .authenticated)
            }
        }
    }

    // MARK: Logins to servers

    @Test func whatIsRequired() {
        for (hash, request, failure) in [
            (nil, .ok, .channelBindingUnavailable),
            (nil, .sasl(mechanisms: [Self.plus, Self.plain]), .channelBindingUnavailable),
            (Self.hash, .ok, .channelBindingNotOffered),
            (Self.hash, .cleartextPassword, .channelBindingNotOffered),
            (Self.hash, .md5Password(salt: 1), .channelBindingNotOffered),
            (Self.hash, .sasl(mechanisms: [Self.plain]), .channelBindingNotOffered),
            (Self.hash, .sasl(mechanisms: []), .channelBindingNotOffered),
        ] as [([UInt8]?, AuthenticationRequest, ServerAuthenticationFailure)] {
            var login = AuthFixtures.serverLogin(
                .plain(AuthFixtures.password),
                channelBinding: hash,
                requiresChannelBinding: true
            )
            #expect(login.received(request) == .failed(failure))
            #expect(login.received(.ok) == .failed(.unexpectedMessage))
        }
    }

    @Test func mechanisms() throws {
        for (hash, offered, chosen, start) in [
            (nil, [Self.plus, Self.plain], Self.plain, "n,,"),
            (nil, [Self.plain], Self.plain, "n,,"),
            (Self.hash, [Self.plain], Self.plain, "y,,"),
            (Self.hash, [Self.plain, Self.plus], Self.plus, "p=tls-server-end-point,,"),
            (Self.hash, [Self.plus], Self.plus, "p=tls-server-end-point,,"),
        ] as [([UInt8]?, [ByteString], ByteString, String)] {
            var login = AuthFixtures.serverLogin(.plain("pw"), channelBinding: hash)
            guard case .send(let message) = login.received(.sasl(mechanisms: offered)) else {
                Issue.record("no answer to \(offered)")
                continue
            }
            let body = Array(message.dropFirst(MessageHeader.byteCount))
            let response = try SASLInitialResponse(decoding: body.span.bytes)
            #expect(response.mechanism == chosen)
            #expect(response.initialResponse?.text.hasPrefix("\(start)n=,r=") == true)
        }
        for (hash, offered) in [
            (nil, [Self.plus]), (Self.hash, []), (Self.hash, ["SCRAM-SHA-1-PLUS"]),
        ]
            as [([UInt8]?, [ByteString])]
        {
            var login = AuthFixtures.serverLogin(.plain("pw"), channelBinding: hash)
            #expect(
                login.received(.sasl(mechanisms: offered)) == .failed(.noSupportedMechanism)
            )
        }
    }
}
