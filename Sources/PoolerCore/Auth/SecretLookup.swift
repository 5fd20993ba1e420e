// Learning a user's secret from a database: what auth_query is asked, by whom and where, and what its
// answer means. Nothing of what a client says goes into the question but the name of the user, and that
// as a value.

public import PostgresWire

/// The question for the secret of a user who is not in auth_file.
public struct SecretLookup: Hashable, Sendable {
    /// The database to ask, as clients name it.
    public let database: ByteString
    /// The user who asks.
    public let authUser: ByteString
    public let query: ByteString
    /// The user whose secret is asked for.
    public let user: ByteString

    public init(database: ByteString, authUser: ByteString, query: ByteString, user: ByteString) {
        self.database = database
        self.authUser = authUser
        self.query = query
        self.user = user
    }

    /// What became of a question.
    public enum Result: Equatable, Sendable {
        case found(StoredSecret)
        case noSuchUser
        /// For the log; never contains a secret.
        case failed(String)
    }

    // MARK: The question

    /// Parse, Bind, Execute and Sync.
    public var request: [UInt8] {
        var writer = ByteWriter()
        writer.message(.parse) { body in
            body.writeCString("")
            body.writeCString(query)
            body.write(Int16(0))
        }
        writer.message(.bind) { body in
            body.writeCString("")
            body.writeCString("")
            body.write(Int16(0))
            body.write(Int16(1))
            body.write(Int32(truncatingIfNeeded: user.count))
            body.write(user.bytes)
            body.write(Int16(0))
        }
        writer.message(.execute) { body in
            body.writeCString("")
            body.write(Int32(0))
        }
        writer.message(.sync) { _ in }
        return writer.bytes
    }

    /// The answers to `request`.
    public static let expectations = [
        Expectation(.parse, .pooler), Expectation(.bind, .pooler), Expectation(.execute, .pooler),
        Expectation(.sync, .pooler),
    ]

    // MARK: The answer

    /// What an answer means.
    ///
    /// - Parameters:
    ///   - answer: all messages of it.
    ///   - error: the error that ended it.
    public func result(in answer: RawSpan, error: ErrorResponse?) -> Result {
        if let error { return .failed(error.message.text) }
        do throws(WireError) {
            let rows = try DataRow.rows(in: answer)
            guard let row = rows.first else { return .noSuchUser }
            guard rows.count == 1 else { return .failed("expected 1 row, not \(rows.count)") }
            return result(of: row.columns)
        } catch {
            return .failed("the answer cannot be read")
        }
    }

    private func result(of columns: [ByteString?]) -> Result {
        guard columns.count == 2 else {
            return .failed("expected 2 columns from auth_query, not \(columns.count)")
        }
        guard let name = columns[0] else {
            return .failed("auth_query response contained null user name")
        }
        guard name == user else {
            return .failed("asked for \(quotedForMessage(user)), got \(quotedForMessage(name))")
        }
        // Who has no password, or one that is no longer valid, is known all the same.
        guard let secret = columns[1] else { return .found(.unusable) }
        guard secret.count <= LengthLimit.secret else { return .failed("the secret is too long") }
        return .found(StoredSecret(classifying: secret))
    }
}

extension Configuration {
    /// What to ask for the secret of a user who is not in auth_file.
    ///
    /// - Parameter name: the database that the client wants.
    /// - Returns: nil where nobody is to be asked.
    public func secretLookup(database name: ByteString, user: ByteString) -> SecretLookup? {
        let entry = database(named: name)
        // Where there is no database, the client is to learn that at the end only.
        guard entry != nil || Self.consoleNames.contains(name) else { return nil }
        let authUser = entry?.authUser ?? settings.authUser
        let query = entry?.authQuery ?? settings.authQuery
        let global = settings.authDBName.isEmpty ? nil : settings.authDBName
        guard !authUser.isEmpty, !query.isEmpty,
            let database = entry?.authDBName ?? global ?? entry?.name
        else { return nil }
        return SecretLookup(database: database, authUser: authUser, query: query, user: user)
    }

    /// Those who are to ask for secrets and have none themselves: they can ask only servers that want
    /// no password.
    ///
    /// - Parameter users: the contents of auth_file.
    public func authUsers(unknownTo users: UserList) -> [ByteString] {
        let entries = Array(databases.values) + (wildcardDatabase.map { [$0] } ?? [])
        let names = Set(entries.compactMap(\.authUser) + [settings.authUser])
        return names.filter {
            !$0.isEmpty && users.secrets[$0] == nil && inlineUsers.secrets[$0] == nil
        }.sorted()
    }
}
