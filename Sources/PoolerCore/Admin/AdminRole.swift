// Who may use the console, and how far. Decided once, at login; what a role may do is a column of
// the command table and of the SHOW tables.

public import PostgresWire

/// How much a console client may do; each role includes the ones before it.
public enum AdminRole: Comparable, CaseIterable, Sendable {
    /// May look.
    case stats
    /// May do everything.
    case admin
}

/// The settings and facts on which access to the console depends.
public struct ConsoleAccess: Equatable, Sendable {
    /// The databases on which the console answers.
    public static let databases: [ByteString] = ["pgbouncer", "martlet"]

    /// The users who, over a Unix socket and with the pooler's own user id, need no password.
    public static let ownUsers: [ByteString] = ["pgbouncer", "martlet"]

    /// The setting admin_users.
    public var adminUsers: [ByteString]
    /// The setting stats_users.
    public var statsUsers: [ByteString]
    /// Whether auth_type is `any`, which believes every name.
    public var authTypeIsAny: Bool

    /// Joins the settings.
    public init(adminUsers: [ByteString], statsUsers: [ByteString], authTypeIsAny: Bool) {
        self.adminUsers = adminUsers
        self.statsUsers = statsUsers
        self.authTypeIsAny = authTypeIsAny
    }

    /// Whether this client is the operator who runs the pooler, and logs in without a password.
    ///
    /// - Parameters:
    ///   - user: the name in the startup packet.
    ///   - peerIsPoolerUser: the client came over a Unix socket and the kernel says that its user id
    ///     is that of this process.
    /// - Returns: true when no password is asked for.
    public static func isOwner(user: ByteString, peerIsPoolerUser: Bool) -> Bool {
        peerIsPoolerUser && ownUsers.contains(user)
    }

    /// The role of a client that asked for the console.
    ///
    /// - Parameters:
    ///   - user: the authenticated name; with auth_type `any`, the name that was claimed.
    ///   - isOwner: what `isOwner(user:peerIsPoolerUser:)` said.
    /// - Returns: nil for a client to be refused with `ConsoleAnswer.notAllowed`.
    public func role(user: ByteString, isOwner: Bool) -> AdminRole? {
        if isOwner || adminUsers.contains(user) { return .admin }
        if authTypeIsAny || statsUsers.contains(user) { return .stats }
        return nil
    }
}
