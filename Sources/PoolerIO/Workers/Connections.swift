// The records of the connections: a socket, the machine that decides for it, and who it is joined to.
// A record lives in a slab; an idle client costs its record and nothing else.

internal import PoolerCore
internal import PostgresWire

/// A client connection.
///
/// There are many of them, so that every field counts: what only some clients have is behind one
/// pointer or in a slab of its own, and what a client has only together with a server is kept with
/// the server.
struct Client: ~Copyable {
    /// What the next bytes are.
    enum Phase: UInt8 {
        /// Startup packets.
        case startup
        /// Records of a TLS handshake.
        case shakingHands
        /// Password messages.
        case authenticating
        /// Nothing yet: it is asked what the client has to know.
        case awaitingSecret
        /// Nothing yet: the client waits for a server, to learn what it will be told at login.
        case awaitingWelcome
        /// Queries.
        case ready
        /// Queries and streams, for a server of its own.
        case replicating
        /// Queries for the console.
        case console
        /// Nothing: the client goes to the chief, as soon as it has left this worker's event loop.
        case leaving
        /// Nothing: the client goes to another process, as soon as it has left the event loop.
        case departing
        /// Whatever comes is thrown away, until the client has read its last error.
        case draining
    }

    /// What only some clients have.
    enum Attachment {
        case none
        case login(ClientLogin)
        case console(ConsoleConnection)
    }

    var transport: Transport
    /// The id column of SHOW CLIENTS: one count for clients and servers.
    let number: UInt64
    let address: SocketAddress
    /// Bytes that could not be used yet: an incomplete message, or what waits for a server.
    var held: [UInt8] = []
    var attachment = Attachment.none
    var database: ByteString = ""
    var user: ByteString = ""
    var connectTime: Microseconds
    /// When the last request began, or the client became idle.
    var requestTime: Microseconds

    private var poolIndex = noSlot
    /// The secret half of the cancel key; the other half is the slot, or what another process has
    /// given the client: 0 if none has.
    var cancelSecret: Int32 = 0
    var foreignProcess: Int32 = 0
    /// The settings of the client's session.
    var settings = SettingsID.empty
    /// The names of the client's prepared statements: a slot of `Worker.statementNames`.
    var names = noSlot
    /// The client's unnamed statement in the statement store, or `noSlot`.
    var unnamedStatement = noSlot
    /// Those that it had before, in case the server does not take its last requests: the one before
    /// all unanswered requests, and those of all but the last of these.
    var unnamedBefore = noSlot
    var unnamedPending: [UInt32] = []
    /// What executing the unnamed statement may change.
    var unnamedEffects: SessionEffects = []
    /// Whether it can be served from a prepared one, and whether it is on the server that the client
    /// has, or had last.
    var canReuseUnnamed = false
    var isUnnamedReused = false
    /// How its statements are cut into tokens.
    var scanRules = ScanRules()
    /// Whether it has asked for the values that its session has drawn from sequences, and the server
    /// that has the last ones.
    var usesSequences = false
    var lastServer: ServerID?
    /// The custom settings that its session has touched.
    var customNames: CustomNameSet = []
    /// What it listens to: a slot of `Worker.subscriptions`, or `noSlot` for nothing.
    var subscriptions = noSlot
    /// What RESET gives the client, and whether it is looked out for although nothing else is.
    var startSettings = SettingsID.empty
    var watchesResets = false
    /// The server that the client has, or `noSlot`.
    var server = noSlot
    /// The ticket in the pool's queue, while `isWaiting`.
    var ticket: UInt32 = 0
    var machine = ClientMachine()
    var phase = Phase.startup
    var encryptionRequestCount: UInt8 = 0
    /// Whether it has begun with TLS without having asked for it.
    var isDirectTLS = false
    /// Whether its handshake is to go on when it is its turn.
    var awaitsHandshake = false
    /// Whether the client counts for its pool, database and user.
    var isCounted = false
    /// Whether the client stands in its pool's queue, since `requestTime`.
    var isWaiting = false
    /// Whether it waits, or did, though it could have had a server with other settings.
    var isChoosing = false
    private let inPlace = InPlace()
    /// Whether the client has a server that is still being prepared for it.
    var isPreparing = false
    /// Whether the client is held back until it is clear which prepared statements there are.
    var isHeldBack = false
    var wasNotified = false
    /// Whether another process has sent it here with a CancelRequest.
    var isReturned = false
    /// Whether everything since the last Sync was answered without a server.
    var hasOwnAnswers = false

    init(
        transport: consuming Transport,
        number: UInt64,
        address: SocketAddress,
        now: Microseconds
    ) {
        self.transport = transport
        self.number = number
        self.address = address
        connectTime = now
        requestTime = now
    }

    var id: ClientID {
        ClientID(index: transport.token.slot, generation: transport.token.generation)
    }

    var pool: PoolID? {
        get { poolIndex == noSlot ? nil : PoolID(index: Int(poolIndex)) }
        set { poolIndex = newValue.map { UInt32($0.index) } ?? noSlot }
    }

    var login: ClientLogin? {
        if case .login(let login) = attachment { login } else { nil }
    }

    var console: ConsoleConnection? {
        if case .console(let console) = attachment { console } else { nil }
    }

    var hasServer: Bool { server != noSlot }

    /// Whether the client has logged in.
    var isServed: Bool {
        switch phase {
        case .ready, .replicating, .console: true
        case .startup, .shakingHands, .authenticating, .awaitingSecret, .awaitingWelcome,
            .leaving, .departing, .draining:
            false
        }
    }

    /// Whether bytes from the client have to wait.
    var isBlocked: Bool {
        isWaiting || isPreparing || isHeldBack || phase == .awaitingWelcome
            || phase == .awaitingSecret || phase == .shakingHands || phase == .departing
    }
}

/// Stands for no slot.
let noSlot = UInt32.max

/// What a client's login needs to remember.
final class ClientLogin {
    let plan: LoginPlan
    var authentication: ClientAuthentication?
    /// What is asked of the client, while its secret is looked up.
    var admission: Admission?
    /// Whether its secret was looked up: if it cannot be met, it may have changed.
    var usesLookup = false
    /// What the keys are made of that the login waits for.
    var awaitedKeys: SCRAMKeyParameters?

    init(_ plan: LoginPlan) {
        self.plan = plan
    }
}

/// A server connection.
struct Server: ~Copyable {
    /// What the server is doing on the pooler's own account.
    enum Task: Equatable {
        case none
        /// The host's name is being resolved.
        case resolving
        case connecting
        /// Being asked whether it has TLS.
        case askingForTLS
        case shakingHands
        case loggingIn
        /// Being asked how many connections its host has, for max_host_connections.
        case measuring
        /// connect_query.
        case settingUp
        /// server_check_query, before a client gets it.
        case checking
        /// Being asked what its client has left in the session: `probe`.
        case probing
        /// Being asked what is left in its session, while nobody needs it: `probe`.
        case auditing
        /// Being asked what in its database can change a session unseen.
        case surveying
        /// It is given what its client began with, behind a RESET.
        case restoring
        /// Its settings are being made to fit its client.
        case replaying([SettingsChange])
        /// Its settings are being made those of a new session, for the question that comes next.
        case preparingLookup([SettingsChange])
        /// auth_query: `lookup`.
        case lookingUp
        /// ROLLBACK, after its client left in a transaction.
        case rollingBack
        /// server_reset_query.
        case resetting
        /// Nothing, while the pool's listener is asked for something on its client's account.
        case awaitingListener
        /// Telling where in the order of notifications the listener takes over.
        case handingOver
        /// UNLISTEN, after the listener has taken over.
        case unlistening
        /// Listening for all clients of its pool, and nothing else.
        case listening
        /// Nothing: it goes to another process, as soon as it has left the event loop.
        case departing
    }

    var transport = Transport.none
    let id: ServerID
    let number: UInt64
    let pool: PoolID
    /// As the configuration has it.
    let host: HostName
    var endpoint: Endpoint
    var localAddress = SocketAddress.unix(process: 0)
    var state = ServerState.login
    /// Whether it is one client's own, from the beginning to the end, and for which replication.
    var replication = ReplicationKind.none
    var task: Task
    var login: ServerLogin?
    var machine = ServerMachine()
    /// An incomplete message.
    var held: [UInt8] = []
    var cancelKey: CancelKey?

    var settings = SettingsID.empty
    /// The custom settings that its session knows, whoever has touched them.
    var customNames: CustomNameSet = []
    var statements = ServerStatements()
    /// Statements of which it has not said yet whether they are what they are elsewhere, and the one of
    /// which it has just said that it is not, to the client that waits for it.
    var awaitedDescriptions = AwaitedDescriptions()
    var refusedStatement = noSlot
    /// What it has under names of clients.
    var ownStatements = OwnStatements()
    /// The number of the client whose unnamed statement the server has; 0 if it is nobody's.
    var unnamedOwner: UInt64 = 0
    /// What its client may have changed of the session since that was last certain.
    var doubts = SessionDoubts()
    /// Why it stays with its client between transactions, since when, and the beginning of the
    /// statement that last gave reason to ask.
    var pins: PinReasons = []
    var pinTime: Microseconds = 0
    var pinStatement: ByteString = ""
    /// The batch of its client, if it may have to be sent again.
    var repeatableBatch = RepeatableBatch()
    /// Whether its client has been told.
    var isPinNoticed = false
    /// The client that has the server, or `noSlot`.
    var client = noSlot
    /// The client of another worker that gets the server, once it has left this worker's event loop.
    var destination: Waiter?
    /// When the current query and transaction of the client began; 0 means there is none.
    var queryStart: Microseconds = 0
    var transactionStart: Microseconds = 0
    /// How long its client waited for it when it last began to, and for it to be made ready.
    var waitTime: Microseconds = 0
    /// The beginning of the current query, if it is to stand in the log.
    var queryText: [UInt8] = []
    /// What the client's RESET is to give it, and what its settings were before that.
    var startChanges: [SettingsChange] = []
    var settingsBeforeReset = SettingsID.empty
    /// Whether it was DISCARD ALL, which an error behind it does not undo.
    var isResetLasting = false
    /// The number of the client whose sequence values it has, if they are one client's.
    var sequenceOwner: UInt64 = 0
    /// Whether it is free, and kept for a moment for a client that has its settings.
    var isKept = false
    /// Whether a client has had it since it was last asked what is left in its session.
    var isAuditDue = false
    /// Whether it listens for all clients of its pool, once it has logged in.
    var isListener = false
    /// Whether it may listen to anything, and whether to all that its client listens to.
    var hasChannels = false
    var hasAllChannels = false
    /// The number of the client that last may have notified, and whether all that has come by now.
    var notifier: UInt64 = 0
    var isNotifierFlushed = true
    /// How many queries of its client it has answered, as far as that matters.
    var answerCount: UInt8 = 0
    /// What a server is asked about its session, and its answer so far.
    var probe: SessionProbe?
    /// The question for a secret that it has.
    var lookup: PendingLookup?
    var taskAnswer: [UInt8] = []
    /// The error that the current task got from the server.
    var taskError: ErrorResponse?
    /// Cancel requests that are on their way to it.
    var cancelCount = 0
    var isCloseNeeded = false
    /// Whether a client has had it.
    var hasServed = false
    private let inPlace = InPlace()

    var connectTime: Microseconds
    /// When the replay began that is under way, or was the last.
    var replayStart: Microseconds = 0
    /// When it was assigned, or became free.
    var requestTime: Microseconds
    /// The age at which it is replaced; 0 means never.
    var lifetime: Microseconds = 0
    /// When it was last known to be alive.
    var lastAnswerTime: Microseconds

    init(
        id: ServerID,
        number: UInt64,
        pool: PoolID,
        host: HostName,
        task: Task,
        now: Microseconds
    ) {
        self.id = id
        self.number = number
        self.pool = pool
        self.host = host
        endpoint = Endpoint(host: host.host, port: host.port)
        self.task = task
        connectTime = now
        requestTime = now
        lastAnswerTime = now
    }

    var hasClient: Bool { client != noSlot }

    /// Whether the session is not known to be like that of any other server.
    var isSessionTouched: Bool { !doubts.isEmpty || !pins.isEmpty || hasChannels }
}

/// What a client has sent since its server was idle, when that begins with the execution of a
/// prepared statement or with a question about it.
struct RepeatableBatch {
    /// The client's entry for the statement, or `unnamed`, or `noSlot` when nothing is kept.
    var entry = noSlot
    var bytes: [UInt8] = []
    /// How many bytes of what is sent next do not belong to it.
    var skipped = 0

    /// In place of an entry: the unnamed statement, which the client has prepared in this batch.
    static let unnamed = noSlot - 1

    /// More than this is not kept, in bytes.
    static let limit = 8_192

    mutating func forget() {
        entry = noSlot
        bytes.removeAll(keepingCapacity: true)
    }
}

/// A CancelRequest for a client of a peer.
struct PeerRequest: Sendable {
    let key: CancelKey
    let requester: Requester
}

/// A connection that carries a CancelRequest to a server or a peer and waits until it is closed.
struct Canceler: ~Copyable {
    enum Target: Equatable {
        /// Its client's query is to be cancelled.
        case server(ServerID)
        /// With the id of the peer, and what the log calls the connection.
        case peer(Int, Endpoint, number: UInt64)
    }

    enum Phase {
        case connecting
        /// The other side is asked whether it has TLS.
        case askingForTLS
        case shakingHands
        /// Connected; the server does something on the pooler's account first.
        case heldBack
        /// The server closes the connection when it has the request.
        case sent
    }

    var transport: Transport
    let target: Target
    let request: [UInt8]
    /// How the connection begins with TLS, if it is to have it.
    let tlsPlan: TLSPlan?
    /// The client connection that brought the request; it is closed when the other side has it.
    let requester: Requester
    var phase = Phase.connecting
    let deadline: Microseconds

    init(
        transport: consuming Transport,
        target: Target,
        request: [UInt8],
        tlsPlan: TLSPlan?,
        requester: Requester,
        deadline: Microseconds
    ) {
        self.transport = transport
        self.target = target
        self.request = request
        self.tlsPlan = tlsPlan
        self.requester = requester
        self.deadline = deadline
    }
}
