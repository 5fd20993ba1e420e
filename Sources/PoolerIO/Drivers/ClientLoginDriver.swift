// Logging clients in: startup packets, authentication, and the welcome that tells a client about its
// session. What to answer is decided by LoginRequest and ClientAuthentication.

internal import Digests
internal import Logging
internal import PoolerCore
internal import PostgresWire

extension Worker {
    /// Goes on with the bytes that a client has sent so far, until more are needed.
    mutating func continueLogin(_ slot: UInt32) {
        let generation = clients[slot].id.generation
        while clients.holds(slot, generation: generation) {
            let isProgress =
                switch clients[slot].phase {
                case .startup: readStartupPacket(slot)
                case .authenticating: readPasswordMessage(slot)
                case .awaitingWelcome, .ready, .console, .leaving, .draining: false
                }
            if !isProgress { return }
        }
    }

    // MARK: Startup

    private mutating func readStartupPacket(_ slot: UInt32) -> Bool {
        let held = exchange(&clients[slot].held, with: [])
        let bytes = unsafe held.span.bytes
        let packet: StartupPacket
        do throws(WireError) {
            guard let size = try StartupPacket.byteCount(peeking: bytes), size <= held.count else {
                clients[slot].held = held
                return false
            }
            packet = try StartupPacket(decoding: bytes.extracting(0..<size))
            keepRest(of: bytes, from: size, slot)
        } catch {
            refuse(slot, Self.startupError(error, bytes))
            return false
        }
        defer { spareBuffers.giveBack(held) }
        switch packet {
        case .sslRequest, .gssencRequest:
            return refuseEncryption(slot)
        case .cancelRequest(let key):
            cancelRequested(key, by: slot)
            return false
        case .startupMessage(let version, let parameters):
            if !isChief, Self.isForConsole(parameters) {
                handOverToConsole(slot, received: held)
                return false
            }
            startupMessageReceived(slot, version, parameters)
            return true
        }
    }

    /// Keeps what has come behind a message.
    private mutating func keepRest(of bytes: RawSpan, from start: Int, _ slot: UInt32) {
        if start < bytes.byteCount { hold(slot, bytes.extracting(start..<bytes.byteCount)) }
    }

    private static func isForConsole(_ parameters: [StartupParameter]) -> Bool {
        guard let database = parameters.last(where: { $0.name == "database" }) else {
            return false
        }
        return Configuration.consoleNames.contains(database.value)
    }

    private static func startupError(_ error: WireError, _ bytes: RawSpan) -> String {
        switch error {
        case .missingTerminator, .unterminatedString:
            return "invalid startup packet layout: expected terminator as last byte"
        case .invalidLength, .truncated, .trailingBytes, .invalidField:
            let head = bytes.extracting(0..<min(8, bytes.byteCount))
            let digits = [UInt8](copying: head).map { byte in
                let text = String(byte, radix: 16)
                return text.count == 1 ? "0" + text : text
            }
            return "bad packet header: '\(digits.joined())'"
        }
    }

    /// There is no encryption: the client goes on in plain text, or goes.
    private mutating func refuseEncryption(_ slot: UInt32) -> Bool {
        let answer: [UInt8] = [UInt8(ascii: "N")]
        clients[slot].transport.send(unsafe answer.span.bytes, reactor)
        clients[slot].encryptionRequestCount += 1
        guard clients[slot].encryptionRequestCount <= 4 else {
            refuse(slot, "too many encryption requests")
            return false
        }
        return true
    }

    private mutating func startupMessageReceived(
        _ slot: UInt32,
        _ version: ProtocolVersion,
        _ parameters: [StartupParameter]
    ) {
        let request: LoginRequest
        do throws(ErrorResponse) {
            request = try LoginRequest(
                version: version,
                parameters: parameters,
                ignored: settings.ignoreStartupParameters.map(\.lowercasedASCII)
            )
        } catch {
            return closeClient(slot, .clientRefused(error))
        }
        clients[slot].database = request.database
        clients[slot].user = request.user
        clients[slot].attachment = .login(ClientLogin(request: request))
        clients[slot].transport.send(unsafe request.negotiation.span.bytes, reactor)
        let isConsole = Configuration.consoleNames.contains(request.database)
        if lifecycle.isShuttingDown && !isConsole { return closeClient(slot, .poolerShuttingDown) }
        if !isConsole && shared.loads.total > settings.maxClientConn {
            return refuse(slot, "no more connections allowed (max_client_conn)")
        }
        startAuthentication(slot)
    }

    // MARK: Authentication

    private mutating func startAuthentication(_ slot: UInt32) {
        let user = clients[slot].user
        if isOwner(slot) { return authenticated(slot, .none, reply: []) }
        do {
            clients[slot].cancelSecret = Int32(bitPattern: try secretBytes.takeNumber())
            var authentication = ClientAuthentication(
                method: AuthMethod(settings.authType),
                user: user,
                secret: directory.secret(of: user) ?? forcedTrust(slot),
                derivedSecret: directory.derivedSecret(of: user),
                seed: directory.seed,
                nonce: try secretBytes.take(18),
                md5Salt: try secretBytes.takeNumber()
            )
            let action = authentication.started()
            clients[slot].login?.authentication = authentication
            clients[slot].phase = .authenticating
            authenticationProgressed(slot, action)
        } catch {
            refuse(slot, "authentication is not available")
        }
    }

    /// Users of the console who are named in the configuration need no entry in auth_file to be known
    /// to trust; for every other method they do.
    private func forcedTrust(_ slot: UInt32) -> StoredSecret? {
        guard Configuration.consoleNames.contains(clients[slot].database),
            settings.authType == .trust,
            settings.adminUsers.contains(clients[slot].user)
                || settings.statsUsers.contains(clients[slot].user)
        else { return nil }
        return .unusable
    }

    private mutating func readPasswordMessage(_ slot: UInt32) -> Bool {
        let held = exchange(&clients[slot].held, with: [])
        let bytes = unsafe held.span.bytes
        let header: MessageHeader
        do throws(WireError) {
            let peeked = try MessageHeader(
                peeking: bytes,
                at: 0,
                limit: ClientAuthentication.passwordMessageByteLimit + 4
            )
            guard let peeked, peeked.messageByteCount <= held.count else {
                clients[slot].held = held
                return false
            }
            header = peeked
        } catch {
            refuse(slot, Self.startupError(error, bytes))
            return false
        }
        guard FrontendMessageType(rawValue: header.typeByte) == .password else {
            refuse(slot, "unknown pkt")
            return false
        }
        let end = header.messageByteCount
        keepRest(of: bytes, from: end, slot)
        let body = bytes.extracting(MessageHeader.byteCount..<end)
        // In place: the state of an exchange is large.
        let action = clients[slot].login?.authentication?.received(body)
        spareBuffers.giveBack(held)
        guard let action else { return false }
        authenticationProgressed(slot, action)
        return true
    }

    /// The keys have come that a client's login waits for.
    ///
    /// A secret that was derived is worth keeping, whether this client knows the password or not.
    mutating func clientKeysDerived(_ slot: UInt32, _ keys: SCRAMKeys?) {
        guard let login = clients[slot].login,
            let action = login.authentication?.derived(keys)
        else { return }
        login.awaitedKeys = nil
        if let derived = login.authentication?.derivedSecret {
            directory.keep(derived, of: clients[slot].user)
        }
        authenticationProgressed(slot, action)
    }

    private mutating func authenticationProgressed(
        _ slot: UInt32,
        _ action: ClientAuthentication.Action
    ) {
        switch action {
        case .send(let bytes):
            clients[slot].transport.send(unsafe bytes.span.bytes, reactor)
        case .derive(let parameters):
            clients[slot].login?.awaitedKeys = parameters
            deriveKeys(parameters, for: .client(clients[slot].id))
        case .failed(let failure):
            if let detail = failure.logDetail { logClient(slot, .debug, detail) }
            closeClient(slot, .clientRefused(failure.errorResponse))
        case .succeeded(let credentials, let reply):
            authenticated(slot, credentials, reply: reply)
        }
    }

    /// The client is who it says.
    ///
    /// Now it is seen whether it may come in. Where nothing is left to wait for, `reply` goes with the
    /// welcome in one packet.
    private mutating func authenticated(
        _ slot: UInt32,
        _ credentials: Credentials,
        reply: [UInt8]
    ) {
        clients[slot].login?.authentication = nil
        let isConsole = Configuration.consoleNames.contains(clients[slot].database)
        let refusal = isConsole ? nil : joinPool(slot, credentials)
        if !isConsole, refusal == nil, adoptConfirmedSettings(slot) {
            return completeLogin(slot, after: reply)
        }
        clients[slot].transport.send(unsafe reply.span.bytes, reactor)
        if isConsole {
            openConsole(slot)
        } else if let refusal {
            refuse(slot, refusal)
        } else if acquireServer(for: slot) {
            serverIsReady(for: slot)
        }
    }

    /// Makes the client one of its pool's.
    ///
    /// - Returns: why it may not come in, or nil.
    private mutating func joinPool(_ slot: UInt32, _ credentials: Credentials) -> String? {
        let name = clients[slot].database
        guard let database = directory.configuration.database(named: name) else {
            return "no such database: \(name)"
        }
        let user = database.user ?? clients[slot].user
        let learned = learned(credentials, user: user, database)
        let sharedPool = shared.pools.pool(
            for: PoolKey(database: name, user: user),
            settings: directory.configuration.effectiveSettings(database: database, user: user)
        ) { pool in
            pool.clientCount += 1
            if let learned { pool.credentials = learned }
        }
        adopt(sharedPool)
        let pool = sharedPool.id
        let clientUser = clients[slot].user
        let limits =
            clientUser == user
            ? pools[pool].settings
            : directory.configuration.effectiveSettings(database: database, user: clientUser)
        let refusal = shared.pools.withLock {
            $0.admitClient(database: name, user: clientUser, limits: limits)
        }
        if let refusal {
            sharedPool.withLock { $0.clientCount -= 1 }
            return refusal
        }
        clients[slot].pool = pool
        // The client's names shall not be copies of their own.
        clients[slot].database = pools[pool].key.database
        if clients[slot].user == pools[pool].key.user { clients[slot].user = pools[pool].key.user }
        clients[slot].phase = .awaitingWelcome
        clients[slot].isCounted = true
        return nil
    }

    /// Makes a pool known to this worker.
    mutating func adopt(_ pool: SharedPool) {
        guard !pools.knows(pool) else { return }
        let configuration = directory.configuration
        pools.adopt(
            pool,
            settings: configuration.effectiveSettings(
                database: configuration.database(named: pool.key.database),
                user: pool.key.user
            )
        )
    }

    /// What a pool logs in to its servers with: what the configuration has for its user, else what
    /// the client has just proved.
    private func learned(
        _ credentials: Credentials,
        user: ByteString,
        _ database: DatabaseEntry
    ) -> Credentials? {
        let known: Credentials
        if let password = database.password, !password.isEmpty {
            known = Credentials(StoredSecret(classifying: password))
        } else {
            known = directory.secret(of: user).map { Credentials($0) } ?? .none
        }
        if known != .none { return known }
        return credentials != .none && database.user == nil ? credentials : nil
    }

    // MARK: Welcome

    /// Gives the client the settings that it asked for, if a server has confirmed the same before.
    ///
    /// - Returns: whether nothing is left to be confirmed.
    private mutating func adoptConfirmedSettings(_ slot: UInt32) -> Bool {
        guard let pool = clients[slot].pool,
            let wanted = clients[slot].login?.request.settings
        else { return false }
        let (plain, others) = Self.split(wanted)
        let base = pools[pool].shared.withLock { pool in
            let base = others.isEmpty ? pool.defaults : pool.confirmedLogins[others]
            // Counted before the pool can forget it.
            if let base { states.retain(base) }
            return base
        }
        guard let base else { return false }
        setSettings(slot, base, plain.map { withHost($0, slot) } ?? hostAlone(slot))
        states.release(base)
        return true
    }

    /// Gives the client the settings that it asked for, in its own spelling, for its server to judge.
    mutating func adoptLoginSettings(_ slot: UInt32, on server: UInt32) {
        let pool = servers[server].pool
        guard let wanted = clients[slot].login?.request.settings else { return }
        let (plain, others) = Self.split(wanted)
        let base = defaults(of: pool) ?? servers[server].settings
        if base == servers[server].settings { states.retain(base) }
        setSettings(slot, base, plain.map { withHost($0, slot) } ?? hostAlone(slot))
        states.release(base)
        for parameter in others {
            let old = clients[slot].settings
            clients[slot].settings = states.setting(
                parameter.name,
                to: parameter.value,
                in: old,
                isReported: false
            )
            states.release(old)
        }
    }

    /// The state that a new server's session starts with, with one more use.
    func defaults(of pool: PoolID) -> SettingsID? {
        pools[pool].shared.withLock { pool in
            if let defaults = pool.defaults { states.retain(defaults) }
            return pool.defaults
        }
    }

    private mutating func setSettings(
        _ slot: UInt32,
        _ base: SettingsID,
        _ applicationName: ByteString?
    ) {
        states.release(clients[slot].settings)
        if let applicationName {
            clients[slot].settings = states.setting(
                "application_name",
                to: applicationName,
                in: base,
                isReported: false
            )
        } else {
            states.retain(base)
            clients[slot].settings = base
        }
    }

    /// An application_name that PostgreSQL takes as it is needs no confirmation; everything else does.
    private static func split(
        _ parameters: [StartupParameter]
    ) -> (applicationName: ByteString?, others: [StartupParameter]) {
        var applicationName: ByteString?
        var others: [StartupParameter] = []
        for parameter in parameters {
            if parameter.name.lowercasedASCII.isText("application_name"),
                parameter.value.count < 64,
                parameter.value.bytes.allSatisfy({ (0x20...0x7E).contains($0) })
            {
                applicationName = parameter.value
            } else {
                others.append(parameter)
            }
        }
        return (applicationName, others)
    }

    /// application_name_add_host: the name and where the client comes from.
    private func withHost(_ name: ByteString, _ slot: UInt32) -> ByteString {
        guard settings.applicationNameAddHost else { return name }
        return ByteString(Array("\(name) - \(clients[slot].address.logText)".utf8.prefix(63)))
    }

    private func hostAlone(_ slot: UInt32) -> ByteString? {
        settings.applicationNameAddHost ? withHost("app", slot) : nil
    }

    /// Tells the client about its session; it is logged in.
    ///
    /// - Parameter reply: what is left to be said before that.
    mutating func completeLogin(_ slot: UInt32, after reply: [UInt8] = []) {
        guard let pool = clients[slot].pool else { return }
        rememberConfirmed(slot, pool)
        clients[slot].phase = .ready
        clients[slot].attachment = .none
        clients[slot].startSettings = clients[slot].settings
        states.retain(clients[slot].startSettings)
        clients[slot].watchesResets = mustWatchForResets(of: slot)
        clients[slot].scanRules = states.scanRules(of: clients[slot].settings)
        pools[pool].counters.clientLogins &+= 1
        var writer = ByteWriter(capacity: 1_024)
        writer.write(reply)
        writer.authenticationRequest(.ok)
        writer.write(pools[pool].shared.withLock { $0.fixedParameters })
        writer.write(states.reportedMessages(of: clients[slot].settings))
        writer.backendKeyData(cancelKey(of: slot))
        writer.readyForQuery(.idle)
        clients[slot].transport.send(unsafe writer.bytes.span.bytes, reactor)
        logClientLogin(slot)
        let server = clients[slot].server
        if server != noSlot && pools[pool].settings.poolMode != .session { release(server) }
        resume(slot)
    }

    /// A server has just taken the client's settings: others who ask for the same need not wait.
    private mutating func rememberConfirmed(_ slot: UInt32, _ pool: PoolID) {
        guard clients[slot].hasServer, let wanted = clients[slot].login?.request.settings else {
            return
        }
        let (plain, others) = Self.split(wanted)
        guard !others.isEmpty else { return }
        var state = clients[slot].settings
        states.retain(state)
        if plain != nil || settings.applicationNameAddHost, let defaults = defaults(of: pool) {
            // The name is each client's own.
            let name = states.value(of: "application_name", in: defaults) ?? ""
            let old = state
            state = states.setting("application_name", to: name, in: old, isReported: false)
            states.release(old)
            states.release(defaults)
        }
        let isRemembered = pools[pool].shared.withLock { $0.remember(state, for: others) }
        if !isRemembered { states.release(state) }
    }

    /// Ends a login with an error of the pooler's own.
    mutating func refuse(_ slot: UInt32, _ text: String) {
        closeClient(slot, .clientRefused(ErrorResponse(.fatal, .protocolViolation, text)))
    }
}

extension AuthMethod {
    init(_ type: AuthType) {
        self =
            switch type {
            case .any: .any
            case .trust: .trust
            case .plain: .plain
            case .md5: .md5
            case .scramSHA256: .scramSHA256
            }
    }
}
