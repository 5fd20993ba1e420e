// The prepared statements that one server has, the least recently used first to go.

/// Which statements a server knows, in order of use.
public struct ServerStatements {
    private struct Node {
        var slot: UInt32
        var previous: UInt32
        var next: UInt32
        var isFit = true
        /// Which state of the tables it was prepared for.
        var generation: UInt32 = 0
    }

    private static let none = UInt32.max

    private var nodes: [Node] = []
    private var freeNodes: [UInt32] = []
    /// The node of each statement slot, or `none`.
    private var nodeOfSlot: [UInt32] = []
    private var newest = none
    private var oldest = none
    /// The number of statements.
    public private(set) var count = 0

    public init() {}

    /// Whether the server has the statement as its clients know it; if so it becomes the most recently
    /// used.
    public mutating func use(_ slot: UInt32) -> Bool {
        guard let node = node(of: slot), nodes[Int(node)].isFit else { return false }
        if node != newest {
            unlink(node)
            linkAsNewest(node)
        }
        return true
    }

    /// The same, if the statement has been prepared for this state of the tables.
    ///
    /// - Parameter generation: a number that changes when tables may have changed.
    public mutating func use(_ slot: UInt32, of generation: UInt32) -> Bool {
        guard let node = node(of: slot), nodes[Int(node)].generation == generation else {
            return false
        }
        return use(slot)
    }

    /// Whether there is a statement of that name on the server, fit for use or not.
    public func contains(_ slot: UInt32) -> Bool { node(of: slot) != nil }

    /// Notes that what the server has under the statement's name may be another one: it has to be
    /// closed before the statement can be prepared.
    public mutating func becameUnfit(_ slot: UInt32) {
        if let node = node(of: slot) { nodes[Int(node)].isFit = false }
    }

    /// Notes that the server gets the statement, which it must not have.
    ///
    /// - Parameter generation: for which state of the tables it is prepared.
    public mutating func insert(_ slot: UInt32, of generation: UInt32 = 0) {
        guard slot != Self.none, node(of: slot) == nil else { return }
        while nodeOfSlot.count <= Int(slot) { nodeOfSlot.append(Self.none) }
        let node: UInt32
        if let free = freeNodes.popLast() {
            node = free
            nodes[Int(free)] = Node(slot: slot, previous: Self.none, next: Self.none)
        } else {
            node = UInt32(nodes.count)
            nodes.append(Node(slot: slot, previous: Self.none, next: Self.none))
        }
        nodeOfSlot[Int(slot)] = node
        nodes[Int(node)].generation = generation
        linkAsNewest(node)
        count += 1
    }

    /// Notes that the server no longer has the statement.
    ///
    /// - Returns: whether it had it.
    public mutating func remove(_ slot: UInt32) -> Bool {
        guard let node = node(of: slot) else { return false }
        unlink(node)
        nodeOfSlot[Int(slot)] = Self.none
        freeNodes.append(node)
        count -= 1
        return true
    }

    /// The statement that was used longest ago.
    public var leastRecentlyUsed: UInt32? {
        oldest == Self.none ? nil : nodes[Int(oldest)].slot
    }

    /// A statement that the server has.
    public struct Item {
        public let slot: UInt32
        public let isFit: Bool
        /// For which state of the tables it was prepared.
        public let generation: UInt32
    }

    /// All statements, the least recently used first.
    public var all: [Item] {
        var items: [Item] = []
        var node = oldest
        while node != Self.none {
            let value = nodes[Int(node)]
            items.append(
                Item(slot: value.slot, isFit: value.isFit, generation: value.generation)
            )
            node = value.next
        }
        return items
    }

    /// Forgets all statements.
    ///
    /// - Returns: their slots.
    public mutating func removeAll() -> [UInt32] {
        var slots: [UInt32] = []
        while let slot = leastRecentlyUsed {
            slots.append(slot)
            _ = remove(slot)
        }
        return slots
    }

    private func node(of slot: UInt32) -> UInt32? {
        guard Int(slot) < nodeOfSlot.count, nodeOfSlot[Int(slot)] != Self.none else { return nil }
        return nodeOfSlot[Int(slot)]
    }

    private mutating func linkAsNewest(_ node: UInt32) {
        nodes[Int(node)].previous = newest
        nodes[Int(node)].next = Self.none
        if newest == Self.none { oldest = node } else { nodes[Int(newest)].next = node }
        newest = node
    }

    private mutating func unlink(_ node: UInt32) {
        let (previous, next) = (nodes[Int(node)].previous, nodes[Int(node)].next)
        if previous == Self.none { oldest = next } else { nodes[Int(previous)].next = next }
        if next == Self.none { newest = previous } else { nodes[Int(next)].previous = previous }
    }
}
