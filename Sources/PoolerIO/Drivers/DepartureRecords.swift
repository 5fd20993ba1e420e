// What is written down of connections that go to another process.

internal import PoolerCore
internal import PostgresWire

extension Worker {
    /// What another process has to know of a client that has logged in.
    func record(ofClient slot: UInt32) -> ClientRecord {
        let key =
            clients[slot].pool.map { pools[$0].key }
            ?? PoolKey(database: clients[slot].database, user: clients[slot].user)
        var record = ClientRecord(
            address: clients[slot].address.record,
            database: clients[slot].database,
            user: clients[slot].user,
            pool: PoolKeyRecord(key)
        )
        record.number = clients[slot].number
        record.cancelKey = cancelKey(of: slot)
        record.connectTime = clients[slot].connectTime
        record.requestTime = clients[slot].requestTime
        record.settings = states.records(of: clients[slot].settings)
        record.startSettings = states.records(of: clients[slot].startSettings)
        if clients[slot].names != noSlot {
            record.statements = statementNames[clients[slot].names].all.map { item in
                NamedStatementRecord(
                    name: item.name,
                    serial: item.serial,
                    effects: item.effects,
                    text: item.text,
                    bodyByteCount: item.bodyByteCount
                )
            }
        }
        if clients[slot].unnamedStatement != noSlot {
            record.unnamed = NamedStatementRecord(
                name: "",
                serial: statements.serial(of: clients[slot].unnamedStatement),
                effects: clients[slot].unnamedEffects,
                text: nil,
                bodyByteCount: 0
            )
        }
        record.unnamedEffects = clients[slot].unnamedEffects
        record.canReuseUnnamed = clients[slot].canReuseUnnamed
        record.isUnnamedReused = clients[slot].isUnnamedReused
        record.usesSequences = clients[slot].usesSequences
        record.customNames = customNames(clients[slot].customNames, of: clients[slot].pool)
        record.hasOwnAnswers = clients[slot].hasOwnAnswers
        if clients[slot].subscriptions != noSlot {
            record.channels = subscriptions[clients[slot].subscriptions].channels
        }
        record.held = clients[slot].held
        record.unsent = clients[slot].transport.unsentBytes
        return record
    }

    /// What another process has to know of a client that has not logged in.
    func record(ofNewcomer slot: UInt32, isReturned: Bool) -> NewcomerRecord {
        NewcomerRecord(
            address: clients[slot].address.record,
            number: clients[slot].number,
            held: clients[slot].held,
            isReturned: isReturned
        )
    }

    /// What another process has to know of a client that waits in its login.
    func record(ofLogin slot: UInt32, isAuthenticated: Bool) -> LoginRecord {
        LoginRecord(
            address: clients[slot].address.record,
            number: clients[slot].number,
            database: clients[slot].login?.plan.request.database ?? clients[slot].database,
            user: clients[slot].login?.plan.request.user ?? clients[slot].user,
            settings: (clients[slot].login?.plan.request.settings ?? []).map {
                SettingRecord(name: $0.name, value: $0.value, isReported: false)
            },
            isAuthenticated: isAuthenticated,
            cancelSecret: clients[slot].cancelSecret,
            held: clients[slot].held,
            unsent: clients[slot].transport.unsentBytes
        )
    }

    /// What another process has to know of a server that owes nothing.
    func record(ofServer slot: UInt32) -> ServerRecord {
        let pool = servers[slot].pool
        var record = ServerRecord(
            pool: PoolKeyRecord(pools[pool].key),
            host: servers[slot].host,
            endpoint: servers[slot].endpoint.record,
            localAddress: servers[slot].localAddress.record
        )
        record.cancelKey = servers[slot].cancelKey
        record.settings = states.records(of: servers[slot].settings)
        record.customNames = customNames(servers[slot].customNames, of: pool)
        let generation = shared.schemaGeneration
        record.statements = servers[slot].statements.all.map { item in
            ServerStatementRecord(
                serial: statements.serial(of: item.slot),
                isFit: item.isFit,
                isCurrent: item.generation == generation
            )
        }
        record.ownStatements = servers[slot].ownStatements.names.sorted().compactMap { name in
            servers[slot].ownStatements[name].map { own in
                NamedStatementRecord(
                    name: name,
                    serial: statements.serial(of: own.slot),
                    effects: [],
                    text: own.text,
                    bodyByteCount: 0
                )
            }
        }
        record.unnamedOwner = servers[slot].unnamedOwner
        record.sequenceOwner = servers[slot].sequenceOwner
        record.doubts = servers[slot].doubts
        record.pins = servers[slot].pins
        record.pinTime = servers[slot].pinTime
        record.pinStatement = servers[slot].pinStatement
        record.isPinNoticed = servers[slot].isPinNoticed
        record.hasChannels = servers[slot].hasChannels
        record.hasAllChannels = servers[slot].hasAllChannels
        record.transactionStatus = servers[slot].machine.transactionStatus
        record.hasChangedSchema = servers[slot].machine.hasChangedSchema
        record.answerCount = servers[slot].answerCount
        record.queryStart = servers[slot].queryStart
        record.transactionStart = servers[slot].transactionStart
        record.isAuditDue = servers[slot].isAuditDue
        record.isCloseNeeded = servers[slot].isCloseNeeded
        record.hasServed = servers[slot].hasServed
        record.connectTime = servers[slot].connectTime
        record.requestTime = servers[slot].requestTime
        record.lastAnswerTime = servers[slot].lastAnswerTime
        record.lifetime = servers[slot].lifetime
        record.held = servers[slot].held
        return record
    }

    private func customNames(_ set: CustomNameSet, of pool: PoolID?) -> [ByteString] {
        guard !set.isEmpty, let pool else { return [] }
        return pools[pool].shared.withLock { $0.customNameBook.names(in: set) }
    }
}

extension Endpoint {
    /// The place, for another process.
    var record: EndpointRecord {
        switch self {
        case .tcp(let address): EndpointRecord(path: "", address: address.record)
        case .unix(let path):
            EndpointRecord(
                path: ByteString(path),
                address: SocketAddress.unix(process: 0).record
            )
        case .name(let name, _):
            // Nobody has connected to it.
            EndpointRecord(path: ByteString(name), address: SocketAddress.unix(process: 0).record)
        }
    }

    /// Reads what `record` has made.
    init(_ record: EndpointRecord) {
        self =
            record.path.isEmpty
            ? .tcp(SocketAddress(record.address)) : .unix(path: record.path.text)
    }
}
