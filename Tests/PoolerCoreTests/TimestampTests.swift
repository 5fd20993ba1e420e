import PoolerCore
import PostgresWire
import Testing

@Suite struct TimestampTests {
    @Test(
        arguments: [
            (0, "1970-01-01 00:00:00 UTC"),
            (-1, "1969-12-31 23:59:59 UTC"),
            (951_782_400_000_000, "2000-02-29 00:00:00 UTC"),
            (951_868_799_999_999, "2000-02-29 23:59:59 UTC"),
            (951_868_800_000_000, "2000-03-01 00:00:00 UTC"),
            (4_107_542_400_000_000, "2100-03-01 00:00:00 UTC"),
            (1_795_217_686_502_000, "2026-11-20 23:34:46 UTC"),
        ] as [(Int64, String)]
    )
    func seconds(_ microseconds: Int64, _ text: String) {
        #expect(Timestamp(unixMicroseconds: microseconds).text().text == text)
    }

    @Test func millisecondsAreCutNotRounded() {
        let time = Timestamp(unixMicroseconds: 1_795_217_686_502_999)
        #expect(time.text(.milliseconds) == "2026-11-20 23:34:46.502 UTC")
        let early = Timestamp(unixMicroseconds: 1_795_217_686_002_000)
        #expect(early.text(.milliseconds) == "2026-11-20 23:34:46.002 UTC")
    }

    @Test func everyDayFollowsTheOneBefore() {
        var previous = Timestamp(unixMicroseconds: 0).text().bytes
        for day in 1..<60_000 as Range<Int64> {
            let text = Timestamp(unixMicroseconds: day * 86_400_000_000).text().bytes
            #expect(previous.lexicographicallyPrecedes(text))
            previous = text
        }
    }

    @Test func anyNumberIsATime() {
        #expect(!Timestamp(unixMicroseconds: .max).text(.milliseconds).isEmpty)
        #expect(!Timestamp(unixMicroseconds: .min).text(.milliseconds).isEmpty)
    }
}
