// The settings from A to M; the table is put together in SettingTable.swift.

import PostgresWire

let settingsAToM: [SettingRow] = [
    .value(
        "admin_users",
        \.adminUsers,
        .names,
        .live,
        .authentication,
        doc: "Users who may run every command on the console, separated by commas."
    ),
    .bool(
        "application_name_add_host",
        \.applicationNameAddHost,
        .live,
        .pooling,
        doc: "Append the client's address and port to its application_name."
    ),
    .duration(
        "audit_interval",
        \.auditInterval,
        .live,
        .pooling,
        doc:
            "Ask an idle server of each pool this often what is left in its session. 0 = never."
    ),
    .value(
        "auth_dbname",
        \.authDBName,
        .databaseName,
        .live,
        .authentication,
        doc:
            """
            Database, by its name in [databases], in which auth_query runs; empty = the one that the \
            client wants.
            """
    ),
    .value(
        "auth_file",
        \.authFile,
        .path,
        .live,
        .authentication,
        doc: "File of users and their secrets, one `\"user\" \"secret\"` per line."
    ),
    .value(
        "auth_hba_file",
        \.authHBAFile,
        .path,
        .live,
        .authentication,
        doc: "File of rules for auth_type = hba, in the format of pg_hba.conf; read at RELOAD."
    ),
    .value(
        "auth_ident_file",
        \.authIdentFile,
        .path,
        .live,
        .authentication,
        doc: "File of user name maps for `peer` rules with `map=`, in the format of pg_ident.conf."
    ),
    .value(
        "auth_query",
        \.authQuery,
        .bytes,
        .live,
        .authentication,
        doc:
            """
            Query for the secret of a user who is not in auth_file: `$1` is the user, and a row has \
            name and secret.
            """
    ),
    .duration(
        "auth_query_ttl",
        \.authQueryTTL,
        .live,
        .authentication,
        doc:
            """
            How long an answer to auth_query serves others; a failed login ends it. 0 = ask each time.
            """
    ),
    .keyword(
        "auth_type",
        \.authType,
        .live,
        .authentication,
        pgbouncer: .md5,
        doc: "How clients prove who they are."
    ),
    .value(
        "auth_user",
        \.authUser,
        .bytes,
        .live,
        .authentication,
        doc: "User who runs auth_query; its secret is in auth_file. Empty = nobody is looked up."
    ),
    .duration(
        "autodb_idle_timeout",
        \.autodbIdleTimeout,
        .live,
        .servers,
        doc: "Forget a database that came from the `*` entry after it was unused this long."
    ),
    .duration(
        "cancel_wait_timeout",
        \.cancelWaitTimeout,
        .live,
        .timeouts,
        doc: "Drop a cancel request that waited this long for a connection. 0 = no limit."
    ),
    .duration(
        "client_idle_timeout",
        \.clientIdleTimeout,
        .live,
        .timeouts,
        override: .in(.users, at: \.clientIdleTimeout),
        doc: "Disconnect a client that is idle outside a transaction this long. 0 = never."
    ),
    .duration(
        "client_login_timeout",
        \.clientLoginTimeout,
        .live,
        .timeouts,
        doc: "Disconnect a client that has not logged in after this long. 0 = never."
    ),
    .value(
        "client_tls13_ciphers",
        \.clientTLS13Ciphers,
        .text,
        .live,
        .tls,
        doc:
            """
            Cipher suites of TLS 1.3 for clients, as OpenSSL names them, separated by colons; the \
            library's own if empty.
            """
    ),
    .value(
        "client_tls_ca_file",
        \.clientTLSCAFile,
        .path,
        .live,
        .tls,
        doc:
            """
            Certificates of the authorities that sign those of clients, in PEM; those that the \
            system trusts if empty.
            """
    ),
    .value(
        "client_tls_cert_file",
        \.clientTLSCertFile,
        .list,
        .live,
        .tls,
        doc:
            """
            The certificate shown to clients, in PEM, followed by those between it and its \
            authority. Several files, separated by commas, are chosen from by the host name that a \
            client asks for; the first is for clients that ask for none of them.
            """
    ),
    .value(
        "client_tls_ciphers",
        \.clientTLSCiphers,
        .text,
        .live,
        .tls,
        doc:
            """
            Ciphers up to TLS 1.2 for clients, in OpenSSL's syntax; default, secure, normal and fast \
            all mean the library's own.
            """
    ),
    .keyword(
        "client_tls_dheparams",
        \.clientTLSDheparams,
        .live,
        .tls,
        pgbouncer: .auto,
        doc:
            """
            Key exchange over finite fields, up to TLS 1.2: none, auto = as strong as the \
            certificate, legacy = 1024 bits.
            """
    ),
    .value(
        "client_tls_ecdhcurve",
        \.clientTLSEcdhcurve,
        .text,
        .live,
        .tls,
        doc:
            """
            Groups for the key exchange: auto = the library's own, none = no elliptic curves up to \
            TLS 1.2, or names as OpenSSL has them, separated by colons.
            """
    ),
    .value(
        "client_tls_key_file",
        \.clientTLSKeyFile,
        .list,
        .live,
        .tls,
        doc:
            """
            The private key of client_tls_cert_file, in PEM and without a passphrase; of several \
            certificates, as many files in the same order.
            """
    ),
    .value(
        "client_tls_protocols",
        \.clientTLSProtocols,
        .tlsProtocols,
        .live,
        .tls,
        doc:
            """
            Versions of TLS for clients: secure = 1.2 and 1.3, all, or a list such as tlsv1.3 or \
            all,!tlsv1.0.
            """
    ),
    .keyword(
        "client_tls_sslmode",
        \.clientTLSSslmode,
        .live,
        .tls,
        pgbouncer: .disable,
        doc:
            """
            TLS for clients over TCP: disable = none, allow and prefer = for those who ask, require \
            = without it nobody gets in, verify-ca and verify-full = also with a certificate that \
            client_tls_ca_file has signed. Up to require, a certificate that does not verify counts \
            as none.
            """
    ),
    .value(
        "conffile",
        \.conffile,
        .path,
        .live,
        .process,
        doc: "The file that RELOAD reads: the one given at the start, unless it names another."
    ),
    .int(
        "default_pool_size",
        \.defaultPoolSize,
        .live,
        .pooling,
        override: .in(.databases, .users, .peers, as: "pool_size", at: \.poolSize),
        doc: "Server connections per database and user. 0 = unlimited."
    ),
    .bool(
        "disable_pqexec",
        \.disablePqexec,
        .live,
        .pooling,
        doc: "Disconnect clients that send a simple Query, which can hold several statements."
    ),
    .duration(
        "dns_max_ttl",
        \.dnsMaxTTL,
        .live,
        .network,
        doc: "How long the addresses of a host name are remembered."
    ),
    .duration(
        "dns_nxdomain_ttl",
        \.dnsNXDomainTTL,
        .live,
        .network,
        doc: "How long it is remembered that a host name has no address."
    ),
    .duration(
        "dns_zone_check_period",
        \.dnsZoneCheckPeriod,
        .live,
        .compatibility,
        doc: "How often PgBouncer looks for a changed zone. Martlet ignores it: see dns_max_ttl."
    ),
    .duration(
        "idle_transaction_timeout",
        \.idleTransactionTimeout,
        .live,
        .timeouts,
        override: .in(.users, at: \.idleTransactionTimeout),
        doc: "Disconnect a client that is idle inside a transaction this long. 0 = never."
    ),
    .value(
        "ignore_startup_parameters",
        \.ignoreStartupParameters,
        .names,
        .live,
        .pooling,
        doc: "Startup parameters that are dropped without a word, separated by commas."
    ),
    .keyword(
        "io_backend",
        \.ioBackend,
        .restart,
        .process,
        pgbouncer: .auto,
        doc:
            "How to talk to the kernel: auto = io_uring where it works and pays (Linux 6.1), else epoll."
    ),
    .bool(
        "isolate_custom_settings",
        \.isolateCustomSettings,
        .live,
        .pooling,
        override: .in(.databases, .users, at: \.isolateCustomSettings),
        doc:
            """
            Give a client only servers that know no custom setting (app.tenant) of others: it is NULL.
            """
    ),
    .value(
        "job_name",
        \.jobName,
        .text,
        .restart,
        .compatibility,
        doc: "Name of PgBouncer's service on Windows. Martlet ignores it."
    ),
    .value(
        "listen_addr",
        \.listenAddr,
        .list,
        .restart,
        .network,
        pgbouncer: [],
        doc:
            "Host names and addresses to listen on, separated by commas; `*` = all, empty = no TCP."
    ),
    .int(
        "listen_backlog",
        \.listenBacklog,
        .restart,
        .network,
        doc: "Connections the kernel queues before they are accepted."
    ),
    .int(
        "listen_port",
        \.listenPort,
        .restart,
        .network,
        range: 1...65535,
        pgbouncer: 6432,
        doc: "TCP port, and number in the name of the Unix socket, `.s.PGSQL.<port>`."
    ),
    .bool(
        "log_connections",
        \.logConnections,
        .live,
        .logging,
        doc: "Log every login."
    ),
    .bool(
        "log_disconnections",
        \.logDisconnections,
        .live,
        .logging,
        doc: "Log every disconnect, with its reason."
    ),
    .keyword(
        "log_format",
        \.logFormat,
        .live,
        .logging,
        pgbouncer: .pgbouncer,
        doc: "How lines are written: pgbouncer = as PgBouncer does, json = one object in a line."
    ),
    .int(
        "log_min_duration",
        \.logMinDuration,
        .live,
        .logging,
        range: -1...Int(Int32.max),
        override: .in(.databases, .users, at: \.logMinDuration),
        doc:
            """
            Log queries that take so many milliseconds, the wait for a server included. 0 = all, \
            -1 = none.
            """
    ),
    .bool(
        "log_pooler_errors",
        \.logPoolerErrors,
        .live,
        .logging,
        doc: "Log the errors that the pooler itself sends to clients."
    ),
    .int(
        "log_query_bytes",
        \.logQueryBytes,
        .live,
        .logging,
        range: 0...1024,
        override: .in(.databases, .users, at: \.logQueryBytes),
        doc:
            """
            Bytes of its text in the line about a slow query, literals included. 0 = none of it.
            """
    ),
    .bool(
        "log_stats",
        \.logStats,
        .live,
        .logging,
        doc: "Log a line of statistics every stats_period."
    ),
    .value(
        "logfile",
        \.logfile,
        .path,
        .live,
        .process,
        doc: "File to append the log to; reopened at RELOAD."
    ),
    .value(
        "login_notify_message",
        \.loginNotifyMessage,
        .text,
        .live,
        .pooling,
        doc: "Text of a NOTICE that every client gets at the end of its login."
    ),
    .int(
        "max_client_conn",
        \.maxClientConn,
        .live,
        .pooling,
        pgbouncer: 100,
        doc: "Clients at once, all databases together."
    ),
    .int(
        "max_db_client_connections",
        \.maxDBClientConnections,
        .live,
        .pooling,
        override: .in(.databases, at: \.maxDBClientConnections),
        doc: "Clients at once per database. 0 = unlimited."
    ),
    .int(
        "max_db_connections",
        \.maxDBConnections,
        .live,
        .pooling,
        override: .in(.databases, at: \.maxDBConnections),
        doc: "Server connections per database, all users together. 0 = unlimited."
    ),
    .value(
        "max_host_connections",
        \.maxHostConnections,
        .hostLimit,
        .live,
        .pooling,
        doc:
            "Server connections per host, or `75%` of what PostgreSQL allows others than superusers. 0 = no limit."
    ),
    .int(
        "max_packet_size",
        \.maxPacketSize,
        .live,
        .network,
        range: 1024...Int(UInt32.max),
        doc: "Longest protocol message accepted, in bytes."
    ),
    .int(
        "max_pinned",
        \.maxPinned,
        .live,
        .pooling,
        doc:
            "Servers of a pool that clients may keep between transactions (SHOW PINS). 0 = all."
    ),
    .int(
        "max_prepared_statements",
        \.maxPreparedStatements,
        .live,
        .pooling,
        doc: "Prepared statements kept per server connection. 0 = do not track them."
    ),
    .int(
        "max_user_client_connections",
        \.maxUserClientConnections,
        .live,
        .pooling,
        override: .in(.users, at: \.maxUserClientConnections),
        doc: "Clients at once per user. 0 = unlimited."
    ),
    .int(
        "max_user_connections",
        \.maxUserConnections,
        .live,
        .pooling,
        override: .in(.users, at: \.maxUserConnections),
        doc: "Server connections per user, all databases together. 0 = unlimited."
    ),
    .int(
        "min_pool_size",
        \.minPoolSize,
        .live,
        .pooling,
        override: .in(.databases, at: \.minPoolSize),
        doc: "Server connections to keep open in a pool even when nobody needs them."
    ),
]
