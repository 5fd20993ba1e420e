// The rows of `settingTable` about the authentication of clients: those whose names begin with `auth_`.

import PostgresWire

/// A part of `settingTable`, ordered by name.
let authenticationRows: [SettingRow] = [
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
]
