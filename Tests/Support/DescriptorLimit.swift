// How many connections a test may hold: some hold thousands, and the usual soft limit is 1,024.

import Glibc

public enum DescriptorLimit {
    /// How many descriptors this process and those that it starts may have: all that are allowed.
    public static let raised: Int = {
        var limit = rlimit()
        let kind = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
        guard unsafe getrlimit(kind, &limit) == 0 else { return 1_024 }
        let soft = limit.rlim_cur
        limit.rlim_cur = limit.rlim_max
        return Int(clamping: unsafe setrlimit(kind, &limit) == 0 ? limit.rlim_cur : soft)
    }()

    /// As many connections as wanted, or as many as leave room for the tests beside this one.
    ///
    /// - Parameter descriptors: how many descriptors each takes in this process.
    public static func connectionCount(upTo count: Int, descriptors: Int = 1) -> Int {
        min(count, raised / 4 / descriptors)
    }
}
