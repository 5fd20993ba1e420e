// What of a configuration only the machine knows: who can read its files, and what its servers say.

internal import CLinux
package import PoolerCore
internal import PostgresWire

/// The checks of `martlet check` that look at the world.
package enum ConfigurationFiles {
    /// What became of an attempt to use a server.
    package struct Outcome: Sendable {
        package let isGood: Bool
        package let text: String
    }

    /// What is risky or without effect.
    package static func remarks(
        _ configuration: Configuration,
        _ users: UserList
    ) -> [ConfigurationRemark] {
        configuration.remarks(users, isReadableByAll: isReadableByAll)
    }

    private static func isReadableByAll(_ path: String) -> Bool {
        var status = stat()
        guard !path.isEmpty, unsafe stat(path, &status) == 0 else { return false }
        return status.st_mode & 0o004 != 0
    }

    /// Reads the certificates and keys.
    package static func tryTLS(_ configuration: Configuration) -> [Outcome] {
        do throws(TLSFailure) {
            return try tlsContexts(configuration).certificates().compactMap(\.warning).map {
                Outcome(isGood: true, text: "warning: \($0)")
            }
        } catch {
            return [Outcome(isGood: false, text: "TLS: \(error)")]
        }
    }

    private static func tlsContexts(
        _ configuration: Configuration
    ) throws(TLSFailure) -> TLSContexts {
        try TLSContexts(for: configuration, TLSFiles(ConfigurationSource.readFile))
    }

    /// Logs in to each server of each database.
    package static func connect(_ configuration: Configuration, _ users: UserList) -> [Outcome] {
        let tls: TLSContexts
        do throws(TLSFailure) {
            tls = try tlsContexts(configuration)
        } catch {
            return [Outcome(isGood: false, text: "TLS: \(error)")]
        }
        var outcomes: [Outcome] = []
        var wanted: [String: Int] = [:]
        var limits: [String: Int] = [:]
        for name in configuration.databaseNames {
            guard let database = configuration.database(named: name) else { continue }
            guard let user = database.user else {
                outcomes.append(
                    Outcome(
                        isGood: true,
                        text: "database \(name): not tried, each client logs in as itself"
                    )
                )
                continue
            }
            let settings = configuration.effectiveSettings(database: database, user: user)
            let folder = settings.unixSocketDir.isEmpty ? "/tmp" : settings.unixSocketDir
            for host in database.hosts.isEmpty ? [folder] : database.hosts {
                let place = "\(host):\(database.port)"
                let label = "database \(name) at \(place) as \(user)"
                do throws(InquiryFailed) {
                    let facts = try ServerInquiry.ask(
                        host: host,
                        of: database,
                        as: user,
                        credentials(of: user, database, users),
                        settings,
                        tls
                    )
                    outcomes.append(
                        Outcome(isGood: true, text: "\(label): PostgreSQL \(facts.version)")
                    )
                    limits[place] = facts.connectionLimit
                    wanted[place, default: 0] += settings.defaultPoolSize + settings.reservePoolSize
                } catch {
                    outcomes.append(Outcome(isGood: false, text: "\(label): \(error)"))
                }
            }
        }
        for (place, count) in wanted.sorted(by: { $0.key < $1.key }) {
            guard let limit = limits[place], count > limit else { continue }
            outcomes.append(
                Outcome(
                    isGood: true,
                    text:
                        "warning: \(place): the pools may open \(count) connections, it takes \(limit)"
                )
            )
        }
        return outcomes
    }

    private static func credentials(
        of user: ByteString,
        _ database: DatabaseEntry,
        _ users: UserList
    ) -> Credentials {
        if let password = database.password { return .plain(password) }
        guard let secret = users.secrets[user] else { return .none }
        return Credentials(StoredSecret(classifying: secret))
    }
}
