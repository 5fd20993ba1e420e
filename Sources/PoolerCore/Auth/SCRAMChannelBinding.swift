// What ties a SCRAM exchange to the TLS connection that it runs over, so that nobody can sit between
// the two sides with a certificate of their own: the hash of the server's certificate is part of what
// both sign. The connection knows the hash; here is what the messages say about it.
//
// Source: RFC 5802, section 6 "Channel Binding"; RFC 5929, section 4 "tls-server-end-point".

/// What one side of an exchange makes of channel binding.
public enum SCRAMChannelBinding: Equatable, Sendable {
    /// There is no TLS, or no hash of the certificate.
    case unavailable
    /// This side could, and the mechanism without it was chosen.
    case unused
    /// The mechanism is SCRAM-SHA-256-PLUS; with the hash of the server's certificate.
    case endPoint(hash: [UInt8])

    /// The name of what is bound to.
    static let endPointName = "tls-server-end-point"

    /// The header with which a client's first message says what it does: gs2-header.
    var clientHeader: [UInt8] {
        switch self {
        case .unavailable: Array("n,,".utf8)
        case .unused: Array("y,,".utf8)
        case .endPoint: Array("p=\(Self.endPointName),,".utf8)
        }
    }

    /// What the client's final message has to repeat: the header, and the hash that it was made for.
    ///
    /// - Parameter header: the header of the client's first message.
    func input(header: [UInt8]) -> [UInt8] {
        switch self {
        case .unavailable, .unused: header
        case .endPoint(let hash): header + hash
        }
    }

    /// Checks the header of a client's first message, on the side of the server.
    ///
    /// An identity to act as is refused, as PostgreSQL does.
    ///
    /// - Returns: the length of the header, in bytes.
    func check(clientFirst message: [UInt8]) throws(SCRAMError) -> Int {
        let comma = UInt8(ascii: ",")
        guard let flag = message.first else { throw .malformedMessage }
        let end = message.firstIndex(of: comma) ?? message.endIndex
        try check(flag: flag, message[..<end])
        guard message.count > end + 1 else { throw .malformedMessage }
        if message[end + 1] == UInt8(ascii: "a") { throw .authorizationIdentity }
        guard message[end + 1] == comma else { throw .malformedMessage }
        return end + 2
    }

    private func check(flag: UInt8, _ text: ArraySlice<UInt8>) throws(SCRAMError) {
        switch (flag, self) {
        case (UInt8(ascii: "p"), .endPoint):
            guard text.dropFirst().first == UInt8(ascii: "=") else { throw .malformedMessage }
            let name = text.dropFirst(2)
            guard name.elementsEqual(Self.endPointName.utf8) else {
                throw .unsupportedChannelBinding(name: SCRAM.printable(name))
            }
        case (UInt8(ascii: "p"), .unavailable), (UInt8(ascii: "p"), .unused):
            throw .unexpectedChannelBinding
        case (UInt8(ascii: "n"), .endPoint), (UInt8(ascii: "y"), .endPoint):
            throw .missingChannelBinding
        case (UInt8(ascii: "y"), .unused):
            // Whoever stands between has taken the offer away.
            throw .channelBindingDowngrade
        case (UInt8(ascii: "n"), .unavailable), (UInt8(ascii: "n"), .unused),
            (UInt8(ascii: "y"), .unavailable):
            guard text.count == 1 else { throw .malformedMessage }
        default:
            throw .malformedMessage
        }
    }
}
