import AlbefTensor
import CAlbefKernels

/// Which queries meet which keys in one call of ``Kernels/attention(_:_:_:groups:heads:causal:to:in:)``: groups of neighbouring
/// queries, each with keys of its own. Its room is taken from an arena like that of an ``ArenaList``.
public struct AttentionGroups {
    private var groups: ArenaList<alb_attention_f32_group>
    private var rows: ArenaList<Int32>
    private let listsRows: Bool
    /// Rows that have been listed for the group that is added next.
    private var listed = 0
    /// Past the last query of all groups.
    public private(set) var queries = 0

    /// Room for so many groups, whose keys are neighbouring rows.
    public init(capacity: Int, in arena: Arena) {
        groups = arena.list(capacity: capacity)
        rows = arena.list(capacity: 0)
        listsRows = false
    }

    /// Room for so many groups, whose keys are listed row by row: so many rows for all groups together.
    public init(capacity: Int, keyRows: Int, in arena: Arena) {
        groups = arena.list(capacity: capacity)
        rows = arena.list(capacity: keyRows)
        listsRows = true
    }

    /// Number of groups.
    public var count: Int { groups.count }

    /// Adds a group whose keys are neighbouring rows.
    ///
    /// - Parameters:
    ///   - queries: Rows of the queries, behind those of the groups before.
    ///   - keys: Rows of keys and values, at least one.
    ///   - queryOffset: How many of the keys come before the first query's own; used only by a causal attention.
    public mutating func append(queries: Range<Int>, keys: Range<Int>, queryOffset: Int = 0) {
        precondition(!listsRows && keys.lowerBound >= 0)
        add(queries, key: keys.lowerBound, keys: keys.count, queryOffset)
    }

    /// Lists one more key of the group that is added next.
    public mutating func list(key row: Int) {
        precondition(listsRows && row >= 0)
        rows.append(Int32(row))
        listed += 1
    }

    /// Adds a group whose keys are the rows that were listed since the group before, in the order of listing; at least one.
    public mutating func append(queries: Range<Int>, queryOffset: Int = 0) {
        precondition(listsRows)
        add(queries, key: rows.count - listed, keys: listed, queryOffset)
        listed = 0
    }

    private mutating func add(_ queries: Range<Int>, key: Int, keys: Int, _ queryOffset: Int) {
        // Ascending, so that no two groups write the same row.
        precondition(queries.lowerBound >= self.queries && keys >= 1 && queryOffset >= 0)
        groups.append(
            alb_attention_f32_group(
                query: Int32(queries.lowerBound), queries: Int32(queries.count), key: Int32(key), keys: Int32(keys),
                query_offset: Int32(queryOffset)))
        self.queries = queries.upperBound
    }

    /// Stops unless all groups lie within so many queries and keys, and none meets the queries of the one before. Each call
    /// asks: a copy shares its lists with the original, which may have been added to since.
    ///
    /// - Returns: The most keys of a group.
    func longest(queries: Int, keys: Int) -> Int {
        var longest = 0, next = 0
        for index in 0..<groups.count {
            let group = groups[index], count = Int(group.keys), past = Int(group.key) + count
            precondition(Int(group.query) >= next && count >= 1, "groups are out of order")
            next = Int(group.query) + Int(group.queries)
            precondition(past <= (listsRows ? rows.count : keys), "a group lies outside of its keys")
            longest = max(longest, count)
        }
        precondition(next <= queries, "a group lies outside of its queries")
        for place in 0..<rows.count { precondition(Int(rows[place]) < keys, "a group lies outside of its keys") }
        return longest
    }

    /// The rows of a group's keys, in their order.
    public func keys(of group: Int) -> [Int] {
        let first = Int(groups[group].key), past = first + Int(groups[group].keys)
        return (first..<past).map { listsRows ? Int(rows[$0]) : $0 }
    }

    @unsafe var code: UnsafePointer<alb_attention_f32_group> { unsafe groups.pointer }

    /// nil where keys are neighbouring rows.
    @unsafe var keyRows: UnsafePointer<Int32>? { listsRows ? unsafe rows.pointer : nil }
}
