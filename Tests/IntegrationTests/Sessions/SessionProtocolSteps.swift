// The steps of session scripts that are messages of the extended query protocol: named statements,
// the unnamed one, portals, errors between them.

import TestSupport

extension SessionGenerator {
    private static let texts = [
        "select '02/03/2024'::date", "select '2024-01-01 00:00'::timestamptz", "select $1::int + 1",
        "select * from one.t where id = $1", "select * from t", "select interval '1 day 2 hours'",
        "select * from lib.changing", "selec", "select 1/0", "select generate_series(1, 5)",
        "insert into one.t values ($1, $1::text) returning *", "select 'a\\'",
    ]

    private static let statements = [
        "set datestyle = 'SQL, DMY'", "reset datestyle", "set timezone = 'Asia/Tokyo'",
        "set timezone = 'America/Lima'", "set intervalstyle = iso_8601",
        "set standard_conforming_strings = off", "set standard_conforming_strings = on",
        "alter table lib.changing add b int default 5", "alter table lib.changing drop b",
        "insert into lib.changing values (1)", "deallocate all", "discard all", "",
    ]

    mutating func addProtocolStep(names: [String]) {
        if random.oneIn(5) { return addStatement(random.pick(Self.statements)) }
        var messages: [SessionMessage] = []
        for _ in 0..<random.number(1...3) {
            messages += use(of: random.oneIn(3) ? "" : random.pick(names))
            if random.oneIn(5) { messages.append(.sync) }
        }
        add(.pipeline(messages.last == .sync ? messages : messages + [.sync]))
    }

    private mutating func use(of name: String) -> [SessionMessage] {
        let text = random.pick(Self.texts)
        let values: [String?] = text.contains("$1") ? ["1"] : []
        let portal = random.oneIn(3) ? "portal" : ""
        let rows = random.oneIn(3) ? 2 : 0
        switch random.number(1...9) {
        case 1, 2: return [.parse(name, text)]
        case 3: return [.parse(name, text), .describe("S", name)]
        case 4:
            return [
                .parse(name, text), .bind(name, values), .describe("P", ""), .execute(rows: rows),
            ]
        case 5, 6:
            // What the name stands for may want another number of parameters: an error like others.
            let count = random.number(0...1)
            return [
                .bind(name, portal: portal, Array(repeating: "1", count: count)),
                .describe("P", portal), .execute(portal: portal, rows: rows),
            ]
        case 7: return [.describe("S", name)]
        case 8: return [.close("S", name)]
        default:
            return [
                .execute(portal: "portal", rows: rows),
                .close(random.oneIn(2) ? "P" : "S", "portal"),
            ]
        }
    }
}
