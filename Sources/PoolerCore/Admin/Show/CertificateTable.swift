// SHOW TLS: the certificates that the pooler itself shows, to clients and to servers.

public import PostgresWire

/// A row of SHOW TLS.
public struct CertificateSnapshot: Equatable, Sendable {
    /// The setting that names its file.
    public var setting: ByteString
    public var file: ByteString
    public var subject: ByteString
    public var issuer: ByteString
    public var serialNumber: ByteString
    public var hosts: ByteString
    public var start: Timestamp
    public var end: Timestamp
    /// How long it is still valid, in seconds; negative when it has expired.
    public var secondsLeft: Int64

    /// - Parameter now: what `secondsLeft` counts from.
    public init(
        setting: ByteString,
        file: ByteString,
        subject: ByteString,
        issuer: ByteString,
        serialNumber: ByteString,
        hosts: ByteString,
        start: Timestamp,
        end: Timestamp,
        now: Timestamp
    ) {
        self.setting = setting
        self.file = file
        self.subject = subject
        self.issuer = issuer
        self.serialNumber = serialNumber
        self.hosts = hosts
        self.start = start
        self.end = end
        secondsLeft = (end.unixMicroseconds - now.unixMicroseconds) / 1_000_000
    }

    private static let day: Int64 = 86_400
    /// From how many days before its end on a certificate is worth a warning.
    private static let warningDays: Int64 = 30

    /// How many days it is still valid; 0 and less in its last day and after it.
    var daysLeft: Int { Int(clamping: secondsLeft / Self.day) }

    /// What is to be said of it in the log, once a day; nil while it is valid for long enough.
    public var warning: String? {
        let name = "certificate \(file) (\(setting))"
        if secondsLeft <= 0 { return "\(name) has expired at \(end.text())" }
        guard secondsLeft < Self.warningDays * Self.day else { return nil }
        return "\(name) expires in \(daysLeft) days, at \(end.text())"
    }
}

extension ShowDefinition {
    static let tls = ShowDefinition(
        "The certificates that the pooler shows to clients and servers, and when they expire.",
        parts: .certificates,
        columns: certificateColumns
    ) { $0.certificates }
}

private let certificateColumns: [ShowColumn<CertificateSnapshot>] = [
    .text("setting", "The setting that names its file.") { $0.setting },
    .text("file", "The file.") { $0.file },
    .text("subject", "Whose it is.") { $0.subject },
    .text("issuer", "Who has signed it.") { $0.issuer },
    .text("serial", "The number that the issuer gave it, in hexadecimal digits.") {
        $0.serialNumber
    },
    .text("hosts", "The hosts that it is for; empty when only its subject names one.") {
        $0.hosts
    },
    .text("not_before", "Since when it is valid.") { $0.start.text() },
    .text("not_after", "Until when it is valid.") { $0.end.text() },
    .int4("days_left", "For how many days still; 0 or less when it has expired or is about to.") {
        $0.daysLeft
    },
]
