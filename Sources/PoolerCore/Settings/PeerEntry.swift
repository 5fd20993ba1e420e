// Another pooler behind the same address: where it gets the cancel requests that are for its clients.
//
// Holds what an entry of [peers] says.

internal import PostgresWire

/// An entry of [peers].
public struct PeerEntry: Sendable, Equatable {
    /// The other pooler's peer_id.
    public let id: Int
    /// A host name, an address, the folder of a Unix socket (`/…`) or an abstract socket (`@…`).
    public var host = ""
    public var port = 6432
    /// Settings that differ for this peer: `pool_size`.
    public var overrides = Overrides()

    /// Makes an entry that has no host yet.
    public init(id: Int) {
        self.id = id
    }

    /// The ids that an entry can have; a pooler's own goes to `Configuration.peerIDLimit` only.
    static let idRange = 1...65_535

    /// Reads an entry: its name, which is a number, and its keys.
    init(name: ByteString, text: ByteString) throws(SettingError) {
        guard let id = integer(name), Self.idRange.contains(id) else {
            throw .expected("a peer_id from 1 to \(Self.idRange.upperBound) as name", found: name)
        }
        self.init(id: id)
        do throws(SettingError) {
            try read(text)
            guard !host.isEmpty else { throw SettingError("expected a host") }
        } catch {
            throw SettingError("peer \(id): \(error.message)")
        }
    }
}

extension PeerEntry: ConfigurationEntry {
    static let section = EntrySection.peers

    /// The keys that only peers have, in the order of their documentation.
    public static let keys: [EntryKey<PeerEntry>] = [
        EntryKey(
            name: "host",
            doc: "Host name, address, folder of the Unix socket or `@abstract` name; required."
        ) { text, entry throws(SettingError) in
            let hosts = try SettingCodec.list.parse(text)
            guard hosts.count == 1 else { throw .expected("one host", found: text) }
            entry.host = hosts[0]
        },
        EntryKey(name: "port", doc: "Port of the peer, 6432 if absent.") {
            text,
            entry throws(SettingError) in
            entry.port = try SettingCodec.int(1...65535).parse(text)
        },
    ]
}
