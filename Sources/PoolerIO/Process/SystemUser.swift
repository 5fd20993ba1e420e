// Users of the operating system, by name and number.

internal import CLinux
internal import PostgresWire

/// A user of the operating system.
enum SystemUser {
    /// The name of the user with a number; nil if there is none.
    ///
    /// May take as long as the system's sources of users do: callers keep the answer.
    static func name(of number: Int64) -> ByteString? {
        guard let id = uid_t(exactly: number) else { return nil }
        var entry = unsafe passwd()
        var found: UnsafeMutablePointer<passwd>?
        var buffer = [CChar](repeating: 0, count: 16_384)
        let status = unsafe getpwuid_r(id, &entry, &buffer, buffer.count, &found)
        guard status == 0, unsafe found != nil, let name = unsafe entry.pw_name else { return nil }
        return unsafe ByteString(Array(String(cString: name).utf8))
    }
}
