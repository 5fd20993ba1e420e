// PostgreSQL's own functions that change a session or ask about it (PostgreSQL documentation,
// chapter 9 "Functions and Operators").

import PostgresWire

/// Knows what such functions do.
enum SpecialFunction {
    /// What a call of the function does; nothing when it is not one of them.
    ///
    /// `set_config` is `settings` here: its arguments decide.
    @inline(__always)
    static func effects(of name: SQLToken, in text: RawSpan) -> SessionEffects {
        let quoteByteCount = name.kind == .quotedName ? 1 : 0
        let start = name.start &+ quoteByteCount
        let end = max(start, name.end &- quoteByteCount)
        let count = end &- start
        guard count >= 6, name.kind != .unicodeName else { return [] }
        switch text.byte(at: start) | 0x20 {
        case UInt8(ascii: "p") where count >= 9, UInt8(ascii: "s"), UInt8(ascii: "n"),
            UInt8(ascii: "l"), UInt8(ascii: "c"):
            return effects(of: start..<end, in: text, folded: name.kind == .word)
        default: return []
        }
    }

    @inline(never)
    private static func effects(
        of range: Range<Int>,
        in text: RawSpan,
        folded: Bool
    ) -> SessionEffects {
        func isText(_ name: StaticString) -> Bool { text.hasText(at: range, name, folded: folded) }
        switch range.count {
        case 6:
            return isText("setval") ? .sequenceValue : []
        case 7:
            if isText("nextval") || isText("lastval") || isText("currval") { return .sequenceValue }
            return isText("setseed") ? .setseed : []
        case 9:
            return isText("pg_notify") ? .notify : []
        case 10:
            return isText("set_config") ? .settings : []
        case 14:
            if isText("pg_backend_pid") { return .backendPID }
            return isText("pg_stop_backup") || isText("pg_backup_stop") ? .backup : []
        case 15:
            return isText("pg_start_backup") || isText("pg_backup_start") ? .backup : []
        case 16:
            return isText("pg_advisory_lock") ? .advisoryLock : []
        case 18:
            return isText("pg_advisory_unlock") ? .advisoryUnlock : []
        case 20:
            return isText("pg_try_advisory_lock") ? .advisoryLock : []
        case 21:
            return isText("pg_listening_channels") ? .listeningChannels : []
        case 22:
            if isText("pg_advisory_unlock_all") { return .advisoryUnlock }
            return []
        case 23:
            return isText("pg_advisory_lock_shared") ? .advisoryLock : []
        case 25:
            return isText("pg_advisory_unlock_shared") ? .advisoryUnlock : []
        case 27:
            return isText("pg_try_advisory_lock_shared") ? .advisoryLock : []
        default:
            return isReplication(isText) ? .replicationSlot : []
        }
    }

    /// Whether a function makes, uses or gives up a slot or an origin for the session.
    private static func isReplication(_ isText: (StaticString) -> Bool) -> Bool {
        isText("pg_create_logical_replication_slot")
            || isText("pg_create_physical_replication_slot")
            || isText("pg_copy_logical_replication_slot")
            || isText("pg_copy_physical_replication_slot")
            || isText("pg_replication_origin_session_setup")
            || isText("pg_replication_origin_session_reset")
            || isText("pg_replication_origin_xact_setup")
    }
}
