import Testing

@Suite struct SimpleQueryTests {
    @Test func oneStatement() throws {
        try withPooler { pooler in
            try #expect(pooler.connect().value("select 1") == "1")
        }
    }
}
