// How a client has to prove who it is: what follows from auth_type, the rules of auth_hba_file and the
// entry of the database. Of what the client could prove it looks at its certificate alone, which has come
// with the connection.

public import PostgresWire

/// What is asked of a client.
public enum Admission: Equatable, Sendable {
    /// To prove itself by this method.
    case prove(AuthMethod)
    /// To be the right user of the operating system; `map` names a map of auth_ident_file.
    case peer(map: ByteString?)
    case refuse(AuthenticationFailure)

    /// Whether the client's secret matters, if only to know that there is such a user.
    public var needsSecret: Bool {
        switch self {
        case .prove(.any), .refuse: false
        case .prove, .peer: true
        }
    }
}

extension Configuration {
    /// What is asked of a client.
    ///
    /// Also says which line of auth_hba_file it follows from, if one.
    public func admission(of login: HBALogin) -> (Admission, line: Int?) {
        switch settings.authType {
        case .any: (anybody(in: login.database), nil)
        case .trust: (.prove(.trust), nil)
        case .plain: (.prove(.plain), nil)
        case .md5: (.prove(.md5), nil)
        case .scramSHA256: (.prove(.scramSHA256), nil)
        case .cert: (admissionByCertificate(login), nil)
        case .hba: admissionByRule(login)
        }
    }

    /// Where anybody may log in under any name, servers are not logged in to under that name: else
    /// everybody could be everybody.
    private func anybody(in name: ByteString) -> Admission {
        let isForced =
            Self.consoleNames.contains(name) || database(named: name)?.user != nil
        return isForced ? .prove(.any) : .refuse(.misconfigured)
    }

    private func admissionByCertificate(_ login: HBALogin) -> Admission {
        if let failure = failure(of: login, under: .name(.commonName, map: nil)) {
            return .refuse(.certificateRejected(failure))
        }
        return .prove(.certificate)
    }

    private func admissionByRule(_ login: HBALogin) -> (Admission, line: Int?) {
        guard let rule = hbaRules.rule(for: login) else { return (.refuse(.noRule), nil) }
        if let demand = rule.certificateDemand, let failure = failure(of: login, under: demand) {
            let isRequired = failure == .missing && rule.method != .cert
            return (
                .refuse(isRequired ? .certificateRequired : .certificateRejected(failure)),
                rule.line
            )
        }
        let admission: Admission =
            switch rule.method {
            case .trust: .prove(.trust)
            case .reject: .refuse(.rejected)
            case .plain: .prove(.plain)
            case .md5: .prove(.md5)
            case .scramSHA256: .prove(.scramSHA256)
            case .peer(let map):
                login.address == .unix ? .peer(map: map) : .refuse(.peerRejected)
            case .cert: .prove(.certificate)
            }
        return (admission, rule.line)
    }

    // MARK: Files

    /// The settings that `readAccessFiles` looks at.
    public static let accessSettingNames: Set<String> = [
        "auth_type", "auth_hba_file", "auth_ident_file", "client_tls_sslmode", "client_tls_ca_file",
    ]

    /// Reads auth_hba_file and auth_ident_file, and checks that clients can do what auth_type asks.
    ///
    /// Where auth_type is not hba, nobody depends on them: then they need not be in order.
    ///
    /// - Throws: the first thing that is wrong, with its file and line.
    public mutating func readAccessFiles(_ read: FileReader) throws(ConfigurationError) {
        hbaRules = HBARules()
        identMaps = IdentMaps()
        try checkCertificates()
        do throws(ConfigurationError) {
            let (maps, rules) = (settings.authIdentFile, settings.authHBAFile)
            if !maps.isEmpty {
                identMaps = try IdentMaps(path: maps, contents: try Self.contents(of: maps, read))
            }
            if !rules.isEmpty {
                let contents = try Self.contents(of: rules, read)
                hbaRules = try HBARules(path: rules, contents: contents, include: read)
            }
            try checkMaps()
            try checkDemands()
        } catch {
            guard settings.authType == .hba else { return }
            hbaRules = HBARules()
            throw error
        }
    }

    private static func contents(
        of path: String,
        _ read: FileReader
    ) throws(ConfigurationError) -> [UInt8] {
        do {
            return try read(path)
        } catch {
            throw ConfigurationError(file: path, message: error.reason)
        }
    }

    /// Checks that every client has to show a certificate, where nothing else is asked.
    private func checkCertificates() throws(ConfigurationError) {
        guard settings.authType == .cert else { return }
        // verify-full requires client_tls_ca_file.
        guard settings.clientTLSSslmode != .verifyFull else { return }
        let text = "auth_type = cert requires client_tls_sslmode = verify-full"
        throw places["auth_type"]?.error(text)
            ?? ConfigurationError(file: "auth_type", message: text)
    }

    /// Checks that rules about certificates say whose are good: not everybody's whom the system trusts.
    private func checkDemands() throws(ConfigurationError) {
        guard settings.clientTLSSslmode != .disable, settings.clientTLSCAFile.isEmpty,
            let rule = hbaRules.rules.first(where: { $0.certificateDemand != nil })
        else { return }
        throw ConfigurationError(
            file: settings.authHBAFile,
            line: rule.line,
            message: "a rule that asks for a certificate requires client_tls_ca_file"
        )
    }

    private func checkMaps() throws(ConfigurationError) {
        for (name, line) in hbaRules.mapNames where !identMaps.contains(name) {
            throw ConfigurationError(
                file: settings.authHBAFile,
                line: line,
                message: "map \(quotedForMessage(name)) is not in auth_ident_file"
            )
        }
    }
}
