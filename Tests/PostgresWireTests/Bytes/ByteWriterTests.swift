import PostgresWire
import Testing

@Suite struct ByteWriterTests {
    @Test func writesBigEndian() {
        var writer = ByteWriter()
        writer.write(UInt8(1))
        writer.write(Int16(-2))
        writer.write(Int32(0x0102_0304))
        writer.write([9, 8])
        #expect(writer.bytes == [1, 0xFF, 0xFE, 1, 2, 3, 4, 9, 8])
    }

    @Test func stringsEndWithAZero() {
        var writer = ByteWriter()
        writer.writeCString("é")
        writer.writeCString(ByteString([0xFF]))
        #expect(writer.bytes == [0xC3, 0xA9, 0, 0xFF, 0])
    }

    @Test func lengthsCountThemselves() {
        var writer = ByteWriter()
        writer.message(FrontendMessageType.sync) { _ in }
        writer.message(FrontendMessageType.query) { $0.writeCString("a" as ByteString) }
        #expect(writer.bytes == [0x53, 0, 0, 0, 4, 0x51, 0, 0, 0, 6, 97, 0])
    }

    @Test func lengthsUseAllFourBytes() {
        var writer = ByteWriter()
        writer.lengthPrefixed { $0.write([UInt8](repeating: 0, count: 0x01_0203 - 4)) }
        #expect(writer.bytes.prefix(4) == [0, 1, 2, 3])
    }
}
