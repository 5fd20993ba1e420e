// Where the configuration comes from: a file that can be read again, or a connection URL. Reading is
// here, understanding in PoolerCore/Settings.

internal import CLinux
package import PoolerCore

/// What the pooler is started with.
package enum ConfigurationSource: Sendable {
    case file(path: String)
    case url(ConnectionURL)

    /// Reads the configuration and the users that it names.
    ///
    /// - Throws: `ConfigurationError` for anything that would make the pooler work differently from
    ///   what the file says.
    package func load() throws(ConfigurationError) -> (Configuration, UserList) {
        switch self {
        case .url(let url):
            return (url.configuration(), UserList())
        case .file(let path):
            let contents = try Self.contents(of: path)
            var configuration = try Configuration.parse(
                path: path,
                contents: contents,
                find: Self.findFiles
            ) { path throws(FileUnavailable) in
                try Self.readFile(path)
            }
            if configuration.settings.conffile.isEmpty { configuration.settings.conffile = path }
            try Self.readAccessFiles(&configuration)
            return (configuration, try Self.users(configuration.settings.authFile))
        }
    }

    /// Reads the files of access rules that the settings name.
    ///
    /// - Throws: `ConfigurationError` for the first thing in them that is wrong.
    static func readAccessFiles(
        _ configuration: inout Configuration
    ) throws(ConfigurationError) {
        try configuration.readAccessFiles { path throws(FileUnavailable) in
            try readFile(path)
        }
    }

    private static func users(_ path: String) throws(ConfigurationError) -> UserList {
        guard !path.isEmpty else { return UserList() }
        return UserList(path: path, contents: try contents(of: path))
    }

    private static func contents(of path: String) throws(ConfigurationError) -> [UInt8] {
        do {
            return try readFile(path)
        } catch {
            throw ConfigurationError(file: path, message: error.reason)
        }
    }

    /// The files of a pattern, or of a folder those called `*.ini`, by name; nil if a path is neither.
    private static func findFiles(_ path: String) -> [String]? {
        var status = stat()
        let isFolder =
            unsafe stat(path, &status) == 0 && status.st_mode & mode_t(S_IFMT) == mode_t(S_IFDIR)
        guard isFolder || path.contains(where: { "*?[".contains($0) }) else { return nil }
        var list = unsafe glob_t()
        defer { unsafe globfree(&list) }
        guard unsafe glob(isFolder ? path + "/*.ini" : path, 0, nil, &list) == 0 else { return [] }
        return unsafe (0..<Int(list.gl_pathc)).compactMap { index in
            unsafe list.gl_pathv[index].map { unsafe String(cString: $0) }
        }
    }

    static func readFile(_ path: String) throws(FileUnavailable) -> [UInt8] {
        let descriptor = unsafe martlet_open_read(path)
        guard descriptor >= 0 else {
            throw FileUnavailable(reason: unsafe String(cString: strerror(-descriptor)))
        }
        defer { close(descriptor) }
        var contents: [UInt8] = []
        var block = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = unsafe read(descriptor, &block, block.count)
            if count == 0 { return contents }
            guard count > 0 else {
                throw FileUnavailable(reason: unsafe String(cString: strerror(martlet_errno())))
            }
            contents.append(contentsOf: block.prefix(count))
        }
    }
}
