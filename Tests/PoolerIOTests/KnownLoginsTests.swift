import PoolerCore
import PostgresWire
import Testing

@testable import PoolerIO

@Suite struct KnownLoginsTests {
    @Test func aPacketIsKnownByAllOfItsBytes() throws {
        var known = KnownLogins()
        let ada = try plan("ada")
        keep(ada, for: packet(1, 100), in: &known)
        #expect(plan(for: packet(1, 100), in: known) === ada)
        #expect(plan(for: packet(2, 100), in: known) == nil)
        #expect(plan(for: packet(1, 99), in: known) == nil)
        #expect(plan(for: packet(1, 101), in: known) == nil)
        #expect(plan(for: [], in: known) == nil)
    }

    @Test func oneOfTwoAtAPlaceStays() throws {
        var known = KnownLogins()
        let packets = (0..<200).map { packet(UInt8($0), 50) }
        let plans = try packets.map { _ in try plan("ada") }
        for (packet, plan) in zip(packets, plans) { keep(plan, for: packet, in: &known) }
        let kept = packets.indices.filter { plan(for: packets[$0], in: known) != nil }
        #expect(kept.contains(199))
        #expect((1...64).contains(kept.count))
        for index in kept { #expect(plan(for: packets[index], in: known) === plans[index]) }
    }

    @Test func longPacketsAreNotKept() throws {
        var known = KnownLogins()
        let ada = try plan("ada")
        keep(ada, for: packet(1, 1_024), in: &known)
        keep(ada, for: packet(1, 1_025), in: &known)
        #expect(plan(for: packet(1, 1_024), in: known) === ada)
        #expect(plan(for: packet(1, 1_025), in: known) == nil)
    }

    @Test func allCanBeForgotten() throws {
        var known = KnownLogins()
        keep(try plan("ada"), for: packet(1, 100), in: &known)
        known.forgetAll()
        #expect(plan(for: packet(1, 100), in: known) == nil)
    }

    private func packet(_ byte: UInt8, _ count: Int) -> [UInt8] {
        Array(repeating: byte, count: count)
    }

    private func plan(_ user: ByteString) throws -> LoginPlan {
        let parameters = [StartupParameter(name: "user", value: user)]
        let request = try LoginRequest(version: .v3, parameters: parameters, ignored: [])
        return LoginPlan(request, secret: nil)
    }

    private func keep(_ plan: LoginPlan, for packet: [UInt8], in known: inout KnownLogins) {
        known.keep(plan, for: packet.span.bytes)
    }

    private func plan(for packet: [UInt8], in known: KnownLogins) -> LoginPlan? {
        known.plan(for: packet.span.bytes)
    }
}
