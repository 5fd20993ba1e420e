// Logging clients in: startup packets, authentication, and the welcome that tells a client about its
// session. What to answer is decided by LoginRequest and ClientAuthentication.

internal import CLinux
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
                case .shakingHands: readHandshake(slot)
                case .awaitingSecret, .awaitingWelcome, .ready, .replicating, .console, .leaving,
                    .departing, .draining:
                    false
                }
            if !isProgress { return }
        }
    }

    // MARK: Startup

    private mutating func readStartupPacket(_ slot: UInt32) -> Bool {
        let held = exchange(&clients[slot].held, with: [])
        let bytes = unsafe held.span.bytes
        let packet: StartupPacket
        let size: Int
        if TLSRecord.isHandshake(bytes), !clients[slot].transport.hasTLS,
            !clients[slot].address.isUnix, clients[slot].encryptionRequestCount == 0,
            beginTLS(with: slot, isDirect: true)
        {
            clients[slot].held = held
            return true
        }
        do throws(WireError) {
            let peeked = try StartupPacket.byteCount(peeking: bytes)
            guard let peeked, peeked <= held.count else {
                clients[slot].held = held
                return false
            }
            size = peeked
            if isSuspended, mustAwaitResume(bytes.extracting(0..<size)) {
                clients[slot].held = held
                return false
            }
            keepRest(of: bytes, from: size, slot)
            if let plan = knownLogins.plan(for: bytes.extracting(0..<size)) {
                spareBuffers.giveBack(held)
                startLogin(slot, plan)
                return true
            }
            packet = try StartupPacket(decoding: bytes.extracting(0..<size))
        } catch {
            refuse(slot, Self.startupError(error, bytes))
            return false
        }
        defer { spareBuffers.giveBack(held) }
        switch packet {
        case .sslRequest: return encryptionRequested(slot)
        case .gssencRequest where clients[slot].transport.hasTLS:
            refuse(slot, "GSSENC req inside SSL")
            return false
        case .gssencRequest: return refuseEncryption(slot)
        case .cancelRequest(let key):
            cancelRequested(key, by: slot)
            return false
        case .startupMessage(let version, let parameters):
            if !isChief, Self.isForConsole(parameters) {
                handOverToConsole(slot, received: held)
                return false
            }
            guard let plan = plan(slot, version, parameters) else { return true }
            knownLogins.keep(plan, for: bytes.extracting(0..<size))
            startLogin(slot, plan)
            return true
        }
    }

    /// Whether a startup packet is one that SUSPEND holds back: a login, but not one to the console.
    private func mustAwaitResume(_ bytes: RawSpan) -> Bool {
        guard case .startupMessage(_, let parameters) = try? StartupPacket(decoding: bytes) else {
            return false
        }
        return !Self.isForConsole(parameters)
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

    /// A client has asked for TLS.
    private mutating func encryptionRequested(_ slot: UInt32) -> Bool {
        if clients[slot].transport.hasTLS {
            refuse(slot, "SSL req inside SSL")
            return false
        }
        guard tls.forClients != nil, !clients[slot].address.isUnix else {
            return refuseEncryption(slot)
        }
        // They are not protected: who put them there is not known (CVE-2021-23214).
        guard clients[slot].held.isEmpty else {
            refuse(slot, "received unencrypted data after SSL request")
            return false
        }
        answer(slot, UInt8(ascii: "S"))
        if !beginTLS(with: slot, isDirect: false) { removeClient(slot) }
        return false
    }

    private mutating func answer(_ slot: UInt32, _ byte: UInt8) {
        let answer = [byte]
        clients[slot].transport.send(unsafe answer.span.bytes, reactor)
    }

    /// A handshake goes on with what has come already.
    private mutating func readHandshake(_ slot: UInt32) -> Bool {
        if !clients[slot].held.isEmpty { awaitHandshake(slot) }
        return false
    }

    /// There is no encryption: the client goes on in plain text, or goes.
    private mutating func refuseEncryption(_ slot: UInt32) -> Bool {
        answer(slot, UInt8(ascii: "N"))
        clients[slot].encryptionRequestCount += 1
        guard clients[slot].encryptionRequestCount <= 4 else {
            refuse(slot, "too many encryption requests")
            return false
        }
        return true
    }

    /// Makes a plan for a client's login, or closes the client.
    private mutating func plan(
        _ slot: UInt32,
        _ version: ProtocolVersion,
        _ parameters: [StartupParameter]
    ) -> LoginPlan? {
        do throws(ErrorResponse) {
            var request = try LoginRequest(
                version: version,
                parameters: parameters,
                ignored: settings.ignoreStartupParameters.map(\.lowercasedASCII)
            )
            if request.replication == .physical {
                request.database = directory.configuration.databaseName(
                    forPhysicalReplication: request.database
                )
            }
            return LoginPlan(
                request,
                secret: directory.secret(of: request.user),
                lookup: directory.secretLookup(database: request.database, user: request.user),
                configurationNumber: configurationNumber
            )
        } catch {
            closeClient(slot, .clientRefused(error))
            return nil
        }
    }

    /// Goes on with a login that another process has begun.
    mutating func continueLogin(
        _ slot: UInt32,
        database: ByteString,
        user: ByteString,
        settings: [StartupParameter],
        isAuthenticated: Bool
    ) {
        let parameters =
            [
                StartupParameter(name: "user", value: user),
                StartupParameter(name: "database", value: database),
            ] + settings
        guard let plan = plan(slot, .v3, parameters) else { return }
        clients[slot].database = plan.request.database
        clients[slot].user = plan.request.user
        clients[slot].attachment = .login(ClientLogin(plan))
        if isAuthenticated {
            authenticated(slot, .none, reply: [])
        } else {
            startAuthentication(slot)
        }
    }

    private mutating func startLogin(_ slot: UInt32, _ plan: LoginPlan) {
        if tls.isRequiredOfClients, !clients[slot].transport.hasTLS,
            !clients[slot].address.isUnix
        {
            return refuse(slot, "SSL required")
        }
        clients[slot].database = plan.request.database
        clients[slot].user = plan.request.user
        clients[slot].attachment = .login(ClientLogin(plan))
        let negotiation = plan.request.negotiation
        clients[slot].transport.send(unsafe negotiation.span.bytes, reactor)
        if !plan.isForConsole {
            if lifecycle.isShuttingDown { return closeClient(slot, .poolerShuttingDown) }
            if shared.loads.total + shared.foreign.clientCount > settings.maxClientConn {
                return refuse(slot, "no more connections allowed (max_client_conn)")
            }
        }
        startAuthentication(slot)
    }

    // MARK: Authentication

    private mutating func startAuthentication(_ slot: UInt32) {
        if isOwner(slot) { return authenticated(slot, .none, reply: []) }
        guard let login = clients[slot].login else { return }
        let (admission, line) = directory.admission(
            of: HBALogin(
                database: clients[slot].database,
                user: clients[slot].user,
                address: clients[slot].address.peer,
                isEncrypted: clients[slot].transport.hasTLS,
                certificate: clients[slot].transport.peerCertificate.map {
                    ClientCertificate(
                        commonName: $0.commonName ?? "",
                        distinguishedName: $0.distinguishedName
                    )
                },
                isReplication: login.plan.request.replication == .physical
            )
        )
        if let line { logClient(slot, .trace, "HBA Line \(line) is matched") }
        let secret = login.plan.secret ?? forcedTrust(slot, admission)
        if secret == nil, admission.needsSecret, let lookup = login.plan.lookup {
            return lookUpSecret(lookup, of: slot, admission)
        }
        authenticate(slot, admission, secret: secret)
    }

    /// Has a client prove who it is.
    mutating func authenticate(
        _ slot: UInt32,
        _ admission: Admission,
        secret: StoredSecret?
    ) {
        switch admission {
        case .prove(let method): startExchange(slot, method, secret: secret)
        case .peer(let map): checkPeer(slot, map: map, secret: secret)
        case .refuse(let failure):
            if let detail = failure.logDetail { logClient(slot, .warning, detail) }
            closeClient(slot, .clientRefused(failure.errorResponse))
        }
    }

    /// Lets a client in who is the right user of the operating system.
    private mutating func checkPeer(_ slot: UInt32, map: ByteString?, secret: StoredSecret?) {
        // Who is not known here is not let in, as with trust.
        guard let secret, let systemUser = systemUser(of: slot),
            directory.configuration.identMaps.allows(
                systemUser: systemUser,
                toBe: clients[slot].user,
                by: map
            )
        else {
            let failure = AuthenticationFailure.peerRejected
            return closeClient(slot, .clientRefused(failure.errorResponse))
        }
        authenticated(slot, Credentials(secret), reply: [])
    }

    /// The user of the operating system at the other end of a client's Unix socket.
    private mutating func systemUser(of slot: UInt32) -> ByteString? {
        var process: Int32 = 0
        let number = unsafe martlet_peer_user(clients[slot].transport.descriptor, &process)
        guard number >= 0 else { return nil }
        if let name = systemUsers[number] { return name }
        let name = SystemUser.name(of: number)
        systemUsers[number] = name
        return name
    }

    private mutating func startExchange(
        _ slot: UInt32,
        _ method: AuthMethod,
        secret: StoredSecret?
    ) {
        let user = clients[slot].user
        guard let login = clients[slot].login else { return }
        do {
            clients[slot].cancelSecret = Int32(bitPattern: try secretBytes.takeNumber())
            // In place: the state of an exchange is large.
            login.authentication = ClientAuthentication(
                method: method,
                user: user,
                secret: secret,
                derivedSecret: secret?.kind == .plain ? directory.derivedSecret(of: user) : nil,
                seed: directory.seed,
                channelBinding: clients[slot].transport.channelBinding,
                nonce: try secretBytes.take(18),
                md5Salt: try secretBytes.takeNumber()
            )
            guard let action = login.authentication?.started() else { return }
            clients[slot].phase = .authenticating
            authenticationProgressed(slot, action)
        } catch {
            refuse(slot, "authentication is not available")
        }
    }

    /// Users of the console who are named in the configuration need no entry in auth_file to be known
    /// to trust; for every other method they do.
    private func forcedTrust(_ slot: UInt32, _ admission: Admission) -> StoredSecret? {
        guard admission == .prove(.trust),
            Configuration.consoleNames.contains(clients[slot].database),
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
            if let login = clients[slot].login, login.usesLookup, let lookup = login.plan.lookup {
                shared.secrets.withLock { $0.forget(lookup) }
            }
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
        guard let login = clients[slot].login else { return }
        login.authentication = nil
        let isConsole = login.plan.isForConsole
        let refusal = isConsole ? nil : joinPool(slot, login.plan, credentials)
        let isForReplication = login.plan.request.replication != .none
        if !isConsole, refusal == nil, !isForReplication, adoptConfirmedSettings(slot) {
            return completeLogin(slot, after: reply)
        }
        clients[slot].transport.send(unsafe reply.span.bytes, reactor)
        if isConsole {
            openConsole(slot)
        } else if let refusal {
            refuse(slot, refusal)
        } else if isForReplication {
            awaitReplication(slot)
        } else if acquireServer(for: slot) {
            serverIsReady(for: slot)
        }
    }

    /// Makes the client one of its pool's.
    ///
    /// - Returns: why it may not come in, or nil.
    private mutating func joinPool(
        _ slot: UInt32,
        _ plan: LoginPlan,
        _ credentials: Credentials
    ) -> String? {
        let isCurrent = plan.configurationNumber == configurationNumber
        let isKnown =
            isCurrent && plan.route.map { pools.knows($0.pool) && $0.enter(credentials) } ?? false
        if !isKnown {
            // Proof of a secret that is no longer the user's is none for the server.
            let isProof = isCurrent || directory.secret(of: plan.request.user) == plan.secret
            plan.route = findRoute(plan.request, isProof ? credentials : .none)
        }
        guard let route = plan.route else {
            return "no such database: \(plan.request.database)"
        }
        let refusal = shared.pools.withLock {
            $0.admitClient(
                database: plan.request.database,
                user: plan.request.user,
                limits: route.limits
            )
        }
        if let refusal {
            route.pool.withLock { $0.clientCount -= 1 }
            return refusal
        }
        clients[slot].pool = route.pool.id
        // The client's names shall not be copies of their own.
        clients[slot].database = route.pool.key.database
        if plan.request.user == route.pool.key.user { clients[slot].user = route.pool.key.user }
        clients[slot].phase = .awaitingWelcome
        clients[slot].isCounted = true
        let custom = plan.request.customNames
        if !custom.isEmpty && plan.request.replication == .none {
            clients[slot].customNames = route.pool.withLock { $0.customNameBook.set(of: custom) }
        }
        return nil
    }

    /// Finds the pool of a client that is the first of its kind, or makes it, and lets the client in.
    ///
    /// - Returns: nil when there is no such database.
    private mutating func findRoute(
        _ request: LoginRequest,
        _ credentials: Credentials
    ) -> LoginRoute? {
        let configuration = directory.configuration
        guard let database = configuration.database(named: request.database) else { return nil }
        let user = database.user ?? request.user
        let settings = configuration.effectiveSettings(database: database, user: user)
        let limits =
            request.user == user
            ? settings : configuration.effectiveSettings(database: database, user: request.user)
        let known = knownCredentials(of: user, database)
        while true {
            let route = LoginRoute(
                pool: shared.pools.pool(
                    for: PoolKey(database: request.database, user: user),
                    settings: settings
                ),
                limits: ClientLimits(limits),
                credentials: known,
                takesProofs: database.user == nil,
                reloadNumber: reloadNumber
            )
            // It can be forgotten in just this moment.
            guard route.enter(credentials) else { continue }
            adopt(route.pool)
            return route
        }
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
        adopt(shared.surveys[pool.key.database], in: pool.id)
    }

    /// What the configuration has for a pool to log in to its servers with.
    ///
    /// The password of a database is its forced user's, not that of somebody else who asks it for
    /// secrets.
    func knownCredentials(of user: ByteString, _ database: DatabaseEntry) -> Credentials {
        if let password = database.password, !password.isEmpty,
            database.user == nil || database.user == user
        {
            return Credentials(StoredSecret(classifying: password))
        }
        return directory.secret(of: user).map { Credentials($0) } ?? .none
    }

    // MARK: Welcome

    /// Gives the client the settings that it asked for, if a server has confirmed the same before.
    ///
    /// - Returns: whether nothing is left to be confirmed.
    private mutating func adoptConfirmedSettings(_ slot: UInt32) -> Bool {
        guard let pool = clients[slot].pool,
            let plan = clients[slot].login?.plan
        else { return false }
        let wanted = uncertainSettings(slot, plan)
        let base = pools[pool].shared.withLock { pool in
            let base = wanted.isEmpty ? pool.defaults : pool.confirmedLogins[wanted]
            // Counted before the pool can forget it.
            if let base { states.retain(base) }
            return base
        }
        guard let base else { return false }
        setSettings(slot, base, plan)
        states.release(base)
        return true
    }

    /// Gives the client the settings that it asked for, in its own spelling, for its server to judge.
    mutating func adoptLoginSettings(_ slot: UInt32, on server: UInt32) {
        let pool = servers[server].pool
        guard let plan = clients[slot].login?.plan else { return }
        let base = defaults(of: pool) ?? servers[server].settings
        if base == servers[server].settings { states.retain(base) }
        setSettings(slot, base, plan)
        states.release(base)
        for parameter in uncertainSettings(slot, plan) {
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

    private static let applicationName: ByteString = "application_name"

    private mutating func setSettings(
        _ slot: UInt32,
        _ base: SettingsID,
        _ plan: LoginPlan
    ) {
        states.release(clients[slot].settings)
        if let applicationName = applicationName(slot, plan) {
            clients[slot].settings = states.setting(
                Self.applicationName,
                to: applicationName,
                in: base,
                isReported: false
            )
        } else {
            states.retain(base)
            clients[slot].settings = base
        }
    }

    /// What a server has to confirm of what a client asks for at login.
    private func uncertainSettings(_ slot: UInt32, _ plan: LoginPlan) -> [StartupParameter] {
        guard let pool = clients[slot].pool, pools[pool].tracksSettings else { return [] }
        guard settings.applicationNameAddHost else { return plan.request.uncertainSettings }
        return plan.request.uncertainSettings.filter { !$0.isApplicationName }
    }

    /// The application_name that a client gets and that nobody has to confirm: its own, with
    /// application_name_add_host followed by where it comes from, in the form that PostgreSQL gives to
    /// such a name.
    private func applicationName(_ slot: UInt32, _ plan: LoginPlan) -> ByteString? {
        guard let pool = clients[slot].pool, pools[pool].tracksSettings else { return nil }
        guard settings.applicationNameAddHost else { return plan.request.applicationName }
        let name = plan.request.settings.last { $0.isApplicationName }?.value ?? "app"
        let host = Array(" - \(clients[slot].address.logText)".utf8)
        let bytes = (name.bytes + host).prefix(63)
        return ByteString(bytes.map { (0x20...0x7E).contains($0) ? $0 : UInt8(ascii: "?") })
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
        if !settings.loginNotifyMessage.isEmpty {
            writer.noticeResponse(
                ErrorResponse(.notice, .successfulCompletion, settings.loginNotifyMessage)
            )
        }
        writer.readyForQuery(.idle)
        clients[slot].transport.send(unsafe writer.bytes.span.bytes, reactor)
        logClientLogin(slot)
        let server = clients[slot].server
        if server != noSlot && pools[pool].settings.poolMode != .session { release(server) }
        resume(slot)
    }

    /// A server has just taken the client's settings: others who ask for the same need not wait.
    private mutating func rememberConfirmed(_ slot: UInt32, _ pool: PoolID) {
        guard clients[slot].hasServer, let plan = clients[slot].login?.plan else { return }
        let wanted = uncertainSettings(slot, plan)
        guard !wanted.isEmpty else { return }
        var state = clients[slot].settings
        states.retain(state)
        if plan.request.applicationName != nil || settings.applicationNameAddHost,
            let defaults = defaults(of: pool)
        {
            // The name is each client's own.
            let name = states.value(of: Self.applicationName, in: defaults) ?? ""
            let old = state
            state = states.setting(Self.applicationName, to: name, in: old, isReported: false)
            states.release(old)
            states.release(defaults)
        }
        let isRemembered = pools[pool].shared.withLock { $0.remember(state, for: wanted) }
        if !isRemembered { states.release(state) }
    }

    /// Ends a login with an error of the pooler's own.
    mutating func refuse(_ slot: UInt32, _ text: String) {
        closeClient(slot, .clientRefused(ErrorResponse(.fatal, .protocolViolation, text)))
    }
}

extension StartupParameter {
    var isApplicationName: Bool { name.lowercasedASCII.isText("application_name") }
}
