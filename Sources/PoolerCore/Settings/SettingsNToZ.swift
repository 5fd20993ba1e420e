// The settings from N to Z; the table is put together in SettingTable.swift.

import PostgresWire

let settingsNToZ: [SettingRow] = [
    .keyword(
        "notification_loss",
        \.notificationLoss,
        .live,
        .pooling,
        pgbouncer: .notice,
        doc:
            "Clients that may have missed notifications: notice = tell them, disconnect = end them."
    ),
    .int(
        "notification_queue",
        \.notificationQueue,
        .live,
        .pooling,
        range: 1024...Int(Int32.max),
        doc: "Bytes of notifications kept for a client that does not read; then it is disconnected."
    ),
    .int(
        "peer_id",
        \.peerID,
        .live,
        .network,
        range: 0...Configuration.peerIDLimit,
        doc:
            "Number of this pooler among those behind one address, which are in [peers]. 0 = none."
    ),
    .value(
        "pidfile",
        \.pidfile,
        .path,
        .restart,
        .process,
        doc: "File to write the process id to."
    ),
    .bool(
        "pin_notice",
        \.pinNotice,
        .live,
        .pooling,
        override: .in(.databases, .users, at: \.pinNotice),
        doc: "Tell a client by a NOTICE when it begins to keep its server, and why."
    ),
    .duration(
        "pin_timeout",
        \.pinTimeout,
        .live,
        .timeouts,
        doc:
            "Disconnect a client that keeps its server and is idle this long. 0 = never."
    ),
    .int(
        "pkt_buf",
        \.pktBuf,
        .restart,
        .compatibility,
        doc: "Size of PgBouncer's buffers. Martlet ignores it: its buffers size themselves."
    ),
    .duration(
        "pool_idle_timeout",
        \.poolIdleTimeout,
        .live,
        .servers,
        doc:
            "Forget a pool that had neither clients nor servers this long, and its statistics. 0 = never."
    ),
    .keyword(
        "pool_mode",
        \.poolMode,
        .live,
        .pooling,
        pgbouncer: .session,
        override: .in(.databases, .users, at: \.poolMode),
        doc: "When a server goes back to its pool: after each session, transaction or statement."
    ),
    .duration(
        "query_timeout",
        \.queryTimeout,
        .live,
        .timeouts,
        override: .in(.users, at: \.queryTimeout),
        doc: "Disconnect the client and the server of a query that runs this long. 0 = never."
    ),
    .duration(
        "query_wait_notify",
        \.queryWaitNotify,
        .live,
        .timeouts,
        doc: "Tell a client by a NOTICE that it has waited this long for a server. 0 = never."
    ),
    .duration(
        "query_wait_timeout",
        \.queryWaitTimeout,
        .live,
        .timeouts,
        override: .in(.databases, .users, at: \.queryWaitTimeout),
        doc: "Disconnect a client that has waited this long for a server. 0 = never."
    ),
    .int(
        "reserve_pool_size",
        \.reservePoolSize,
        .live,
        .pooling,
        override: .in(.databases, .users, alias: "reserve_pool", at: \.reservePoolSize),
        doc: "Server connections a pool may open beyond its size when clients wait too long."
    ),
    .duration(
        "reserve_pool_timeout",
        \.reservePoolTimeout,
        .live,
        .pooling,
        doc: "How long a client waits before the reserve may be used. 0 = never use it."
    ),
    .value(
        "resolv_conf",
        \.resolvConf,
        .path,
        .restart,
        .compatibility,
        doc: "Resolver configuration of PgBouncer. Martlet ignores it: it asks the system."
    ),
    .bool(
        "reuse_unnamed_statements",
        \.reuseUnnamedStatements,
        .live,
        .pooling,
        override: .in(.databases, .users, at: \.reuseUnnamedStatements),
        doc:
            """
            Serve unnamed statements that have parameters from prepared ones (Docs/Sessions.md).
            """
    ),
    .int(
        "sbuf_loopcnt",
        \.sbufLoopcnt,
        .live,
        .compatibility,
        doc: "Turns PgBouncer gives one connection. Martlet ignores it: it is always fair."
    ),
    .int(
        "scram_iterations",
        \.scramIterations,
        .live,
        .authentication,
        range: 1...10_000_000,
        doc: "Iterations of SCRAM secrets made from plain passwords of the auth_file."
    ),
    .keyword(
        "server_channel_binding",
        \.serverChannelBinding,
        .live,
        .tls,
        pgbouncer: .prefer,
        override: .in(.databases, at: \.serverChannelBinding),
        doc:
            """
            SCRAM to servers bound to the TLS connection, which shows that nobody sits between: \
            disable = never, prefer = if the server offers it, require = log in in no other way.
            """
    ),
    .duration(
        "server_check_delay",
        \.serverCheckDelay,
        .live,
        .servers,
        doc: "Run server_check_query before using a server that was idle this long. 0 = always."
    ),
    .value(
        "server_check_query",
        \.serverCheckQuery,
        .serverCheckQuery,
        .live,
        .servers,
        doc: "Statement that checks an idle server; `<empty>` = an empty query, nothing = no check."
    ),
    .duration(
        "server_connect_timeout",
        \.serverConnectTimeout,
        .live,
        .servers,
        doc: "Give up connecting and logging in to a server after this long. 0 = no limit."
    ),
    .bool(
        "server_fast_close",
        \.serverFastClose,
        .live,
        .servers,
        doc:
            """
            In session mode, close a server that has to be replaced when its transaction is over, with \
            its client.
            """
    ),
    .duration(
        "server_idle_timeout",
        \.serverIdleTimeout,
        .live,
        .servers,
        doc: "Close a server that was idle this long. 0 = never."
    ),
    .duration(
        "server_lifetime",
        \.serverLifetime,
        .live,
        .servers,
        override: .in(.databases, at: \.serverLifetime),
        doc: "Close an idle server that has been connected this long. 0 = use each once."
    ),
    .duration(
        "server_login_retry",
        \.serverLoginRetry,
        .live,
        .servers,
        doc: "Longest pause after failed connection attempts; it starts short and doubles."
    ),
    .value(
        "server_reset_query",
        \.serverResetQuery,
        .bytes,
        .live,
        .servers,
        doc: "Statement that cleans a server before it goes back to its pool in session mode."
    ),
    .bool(
        "server_reset_query_always",
        \.serverResetQueryAlways,
        .live,
        .servers,
        doc: "Run server_reset_query in every pool mode."
    ),
    .bool(
        "server_round_robin",
        \.serverRoundRobin,
        .live,
        .pooling,
        doc: "Use the server that has been idle longest instead of the one used last."
    ),
    .value(
        "server_tls13_ciphers",
        \.serverTLS13Ciphers,
        .text,
        .live,
        .tls,
        override: .in(.databases, at: \.serverTLS13Ciphers),
        doc:
            """
            Cipher suites of TLS 1.3 for servers, as OpenSSL names them, separated by colons; the \
            library's own if empty.
            """
    ),
    .value(
        "server_tls_ca_file",
        \.serverTLSCAFile,
        .path,
        .live,
        .tls,
        override: .in(.databases, at: \.serverTLSCAFile),
        doc:
            """
            Certificates of the authorities that sign those of servers, in PEM; those that the \
            system trusts if empty.
            """
    ),
    .value(
        "server_tls_cert_file",
        \.serverTLSCertFile,
        .path,
        .live,
        .tls,
        override: .in(.databases, at: \.serverTLSCertFile),
        doc:
            """
            The certificate for servers that ask for one, in PEM, followed by those between it and \
            its authority.
            """
    ),
    .value(
        "server_tls_ciphers",
        \.serverTLSCiphers,
        .text,
        .live,
        .tls,
        override: .in(.databases, at: \.serverTLSCiphers),
        doc:
            """
            Ciphers up to TLS 1.2 for servers, in OpenSSL's syntax; default, secure, normal and fast \
            all mean the library's own.
            """
    ),
    .value(
        "server_tls_key_file",
        \.serverTLSKeyFile,
        .path,
        .live,
        .tls,
        override: .in(.databases, at: \.serverTLSKeyFile),
        doc:
            """
            The private key of server_tls_cert_file, in PEM and without a passphrase.
            """
    ),
    .keyword(
        "server_tls_negotiation",
        \.serverTLSNegotiation,
        .live,
        .tls,
        pgbouncer: .postgres,
        override: .in(.databases, at: \.serverTLSNegotiation),
        doc:
            """
            How TLS to a server begins: postgres = with an SSLRequest, direct = at once, which \
            PostgreSQL has since version 17 and which needs server_tls_sslmode = require or more.
            """
    ),
    .value(
        "server_tls_protocols",
        \.serverTLSProtocols,
        .tlsProtocols,
        .live,
        .tls,
        override: .in(.databases, at: \.serverTLSProtocols),
        doc:
            """
            Versions of TLS for servers: secure = 1.2 and 1.3, all, or a list such as tlsv1.3 or \
            all,!tlsv1.0.
            """
    ),
    .keyword(
        "server_tls_sslmode",
        \.serverTLSSslmode,
        .live,
        .tls,
        pgbouncer: .prefer,
        override: .in(.databases, at: \.serverTLSSslmode),
        doc:
            """
            TLS to servers over TCP: disable = none, allow and prefer = if the server has it, \
            require = without it no connection, verify-ca = also with a certificate that \
            server_tls_ca_file has signed, verify-full = and that is for the server's host name.
            """
    ),
    .keyword(
        "session_tracking",
        \.sessionTracking,
        .live,
        .pooling,
        pgbouncer: .full,
        override: .in(.databases, .users, at: \.sessionTracking),
        doc:
            """
            What follows a client to other servers: full = its session, reported = reported settings, \
            off = nothing.
            """
    ),
    .bool(
        "shared_listener",
        \.sharedListener,
        .live,
        .pooling,
        doc:
            "Listen for all clients of a pool on one server connection. off = LISTEN keeps its server."
    ),
    .bool(
        "so_reuseport",
        \.soReuseport,
        .restart,
        .network,
        doc: "Let several processes listen on the same port; the kernel spreads clients over them."
    ),
    .duration(
        "stats_period",
        \.statsPeriod,
        .live,
        .logging,
        range: .seconds(1)...longestDuration,
        doc: "Period of the logged statistics and of the averages in SHOW STATS."
    ),
    .value(
        "stats_users",
        \.statsUsers,
        .names,
        .live,
        .authentication,
        doc: "Users who may run SHOW commands on the console, separated by commas."
    ),
    .duration(
        "suspend_timeout",
        \.suspendTimeout,
        .live,
        .timeouts,
        doc: "Disconnect clients with which SUSPEND cannot finish in this time. 0 = never."
    ),
    .bool(
        "syslog",
        \.syslog,
        .live,
        .logging,
        doc: "Write the log to the system's log, too."
    ),
    .keyword(
        "syslog_facility",
        \.syslogFacility,
        .live,
        .logging,
        pgbouncer: .daemon,
        doc: "Under what the system's log files the lines."
    ),
    .value(
        "syslog_ident",
        \.syslogIdent,
        .text,
        .live,
        .logging,
        pgbouncer: "pgbouncer",
        doc: "The name under which lines stand in the system's log."
    ),
    .bool(
        "tcp_defer_accept",
        \.tcpDeferAccept,
        .live,
        .network,
        doc: "Have the kernel hold TCP connections back until they say something, at most 45 s."
    ),
    .bool(
        "tcp_keepalive",
        \.tcpKeepalive,
        .live,
        .network,
        doc: "Have the kernel probe idle TCP connections."
    ),
    .int(
        "tcp_keepcnt",
        \.tcpKeepcnt,
        .live,
        .network,
        range: 0...127,
        doc: "Unanswered probes that end a connection. 0 = the system's default."
    ),
    .int(
        "tcp_keepidle",
        \.tcpKeepidle,
        .live,
        .network,
        range: 0...32767,
        doc: "Idle seconds before the first probe. 0 = the system's default."
    ),
    .int(
        "tcp_keepintvl",
        \.tcpKeepintvl,
        .live,
        .network,
        range: 0...32767,
        doc: "Seconds between probes. 0 = the system's default."
    ),
    .int(
        "tcp_socket_buffer",
        \.tcpSocketBuffer,
        .live,
        .network,
        doc: "Bytes of the kernel's send and receive buffers. 0 = the system's default."
    ),
    .int(
        "tcp_user_timeout",
        \.tcpUserTimeout,
        .live,
        .network,
        doc: "Milliseconds until unacknowledged data ends a connection. 0 = the system's default."
    ),
    .value(
        "track_extra_parameters",
        \.trackExtraParameters,
        .names,
        .restart,
        .compatibility,
        doc: "Parameters to keep per client. Martlet keeps every parameter the server reports."
    ),
    .duration(
        "transaction_timeout",
        \.transactionTimeout,
        .live,
        .timeouts,
        override: .in(.users, at: \.transactionTimeout),
        doc: "Disconnect the client and the server of a transaction this long. 0 = never."
    ),
    .value(
        "unix_socket_dir",
        \.unixSocketDir,
        .path,
        .restart,
        .network,
        doc: "Folder of the Unix socket; `@name` = abstract socket, empty = no Unix socket."
    ),
    .value(
        "unix_socket_group",
        \.unixSocketGroup,
        .text,
        .restart,
        .network,
        doc: "Group, by name or number, that owns the Unix socket."
    ),
    .value(
        "unix_socket_mode",
        \.unixSocketMode,
        .fileMode,
        .restart,
        .network,
        doc: "Permissions of the Unix socket, an octal number with its leading 0."
    ),
    .value(
        "user",
        \.user,
        .text,
        .restart,
        .process,
        doc: "User of the operating system to run as, when started by root; -u wins over it."
    ),
    .int(
        "verbose",
        \.verbose,
        .live,
        .logging,
        range: 0...3,
        doc: "How much to log beyond the usual: 0 nothing, 3 everything."
    ),
    .int(
        "workers",
        \.workers,
        .restart,
        .process,
        range: 0...WorkerID.limit,
        doc:
            "Event loops, each on a thread of its own, that share all pools; 0 = one for each core."
    ),
]
