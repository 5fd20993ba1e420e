// The version numbers that the pooler tells: its own, and that of the PgBouncer whose console it
// answers like. Nothing else repeats them.

/// The versions that the pooler reports.
public enum MartletVersion {
    /// Martlet's own version.
    public static let current = "0.1.0"

    /// The PgBouncer release whose console, columns and messages are given.
    public static let pgbouncer = "1.25.2"

    /// The answer to SHOW VERSION.
    ///
    /// Monitoring looks for the first `x.y.z` behind `PgBouncer`, or takes the text as a label, so
    /// our own version stands behind it.
    public static let consoleText = "PgBouncer \(pgbouncer) (Martlet \(current))"

    /// The console's server_version parameter.
    public static let consoleServerVersion = "\(pgbouncer)/bouncer"
}
