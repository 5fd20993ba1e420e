// Custom settings: NULL in a session that has never heard of them, '' in one that has.

import Testing

@Suite struct CustomSettingTests {
    private static let question = "select current_setting('app.tenant', true)"

    /// Two servers are free; the one used last has been told the name by somebody else.
    @Test func aServerThatKnowsNoOthersNamesIsPreferred() throws {
        try withPooler(["default_pool_size": "2", "workers": "1"]) { pooler in
            let (one, two, holder) = (
                try pooler.connect(), try pooler.connect(), try pooler.connect()
            )
            try holder.query("begin")
            try one.query("set app.tenant = 'one'")
            try holder.query("commit")
            for _ in 0..<3 {
                try #expect(one.value(Self.question) == "one")
                try #expect(two.value(Self.question) == nil)
                try #expect(two.execute("show app.tenant").sqlstate == "42704")
                try #expect(one.value("show app.tenant") == "one")
            }
            // What it has touched itself it knows wherever it goes, and without a value.
            try one.query("discard all")
            try holder.query("begin")
            try #expect(one.value(Self.question) == "")
            try holder.query("commit; begin")
            try #expect(one.value(Self.question) == "")
        }
    }

    /// DISCARD ALL makes nobody touch what others have.
    @Test func whatOthersHaveTouchedIsNotAdopted() throws {
        try withPooler(["default_pool_size": "1"]) { pooler in
            let (one, two) = (try pooler.connect(), try pooler.connect())
            try one.query("set app.tenant = 'one'")
            try #expect(two.value(Self.question) == "")
            try two.query("discard all")
            try pooler.console().query("set default_pool_size = 2")
            try one.query("begin")
            try #expect(two.value(Self.question) == nil)
        }
    }

    /// SET LOCAL leaves nothing but the name, and that stays with the session.
    @Test func settingLocallyIsTouching() throws {
        try withPooler(["default_pool_size": "2", "workers": "1"]) { pooler in
            let (one, holder) = (try pooler.connect(), try pooler.connect())
            try pooler.connect().query("set app.tenant = 'another'")
            try one.query("begin; set local app.tenant = 'local'; commit")
            for _ in 0..<2 {
                try #expect(one.value(Self.question) == "")
                try holder.query("begin")
                try #expect(one.value(Self.question) == "")
                try holder.query("commit")
            }
        }
    }
}
