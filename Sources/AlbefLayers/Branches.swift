import AlbefKernels
import AlbefTensor

/// A run of rows that continue one another, in a tree of token sequences that begin alike: the tokens of a sequence are the
/// ancestors' rows and then its own.
public struct Branch: Sendable, Equatable, BitwiseCopyable {
    private let first, past: Int
    /// Ancestors of the first row.
    public let depth: Int

    /// The branch's own rows, each behind the one before.
    public var rows: Range<Int> { first..<past }

    fileprivate init(rows: Range<Int>, depth: Int) {
        (first, past) = (rows.lowerBound, rows.upperBound)
        self.depth = depth
    }
}

/// The branches of a tree; together all of its rows.
public struct Branches {
    private var branches: ArenaList<Branch>
    /// What each branch sees: the tokens before all branches, which lie in front of the tree's rows, its ancestors, itself.
    fileprivate private(set) var groups: AttentionGroups
    /// Tokens before all branches.
    public let before: Int

    /// Room for so many branches, each with its ancestors at most `longest` rows, behind `before` tokens of no branch.
    public init(capacity: Int, longest: Int, after before: Int = 0, in arena: Arena) {
        branches = arena.list(capacity: capacity)
        groups = AttentionGroups(capacity: capacity, keyRows: capacity * (before + longest), in: arena)
        self.before = before
    }

    /// Number of branches.
    public var count: Int { branches.count }

    public subscript(index: Int) -> Branch { branches[index] }

    /// Adds a branch.
    ///
    /// - Parameters:
    ///   - rows: Its own, behind those of the branches before.
    ///   - ancestors: Rows before it, ascending; the first `depth` of the list.
    public mutating func append(_ rows: Range<Int>, ancestors: ArenaList<Int>, depth: Int) {
        for row in 0..<before { groups.list(key: row) }
        for place in 0..<depth { groups.list(key: before + ancestors[place]) }
        close(rows, depth: depth)
    }

    /// Adds a branch without ancestors.
    public mutating func append(_ rows: Range<Int>) {
        for row in 0..<before { groups.list(key: row) }
        close(rows, depth: 0)
    }

    private mutating func close(_ rows: Range<Int>, depth: Int) {
        for row in rows { groups.list(key: before + row) }
        groups.append(queries: rows, queryOffset: before + depth)
        branches.append(Branch(rows: rows, depth: depth))
    }

    /// The ancestors of a branch.
    public func ancestors(of index: Int) -> [Int] {
        groups.keys(of: index).dropFirst(before).prefix(branches[index].depth).map { $0 - before }
    }
}

extension SelfAttention {
    /// Attends along the branches of a tree, causally: each row sees its ancestors and itself, as it would in its sequence
    /// alone, in the same order and so with the same bytes.
    ///
    /// - Parameters:
    ///   - x: `[rows, width]`.
    ///   - branches: Together all rows of `x`.
    ///   - before: Keys and values of the tokens before all branches; nil where there are none.
    ///   - keeping: Receives keys and values of all rows, `[rows, width]`; nil to keep none. Not behind tokens of no branch.
    ///   - y: `[rows, width]`, not `x`.
    public func callAsFunction(
        _ x: TensorView, branches: Branches, after before: KeysValues?, keeping: KeysValues?, to y: TensorView,
        in work: Workspace
    ) {
        let first = branches.before
        precondition(causal && first == before?.keys.rows ?? 0 && (before == nil || keeping == nil))
        precondition(branches.groups.queries == x.rows)
        work.arena.scoped {
            let context = work.reserve(x.shape)
            work.arena.scoped {
                let q = work.reserve(x.shape)
                // The tokens before all branches lie in front: copied once, and not for each branch.
                let shape = Shape(first + x.rows, x.columns)
                let k = keeping?.keys ?? work.reserve(shape)
                let v = keeping?.values ?? work.reserve(shape)
                if let before {
                    work.arena.copy(before.keys, to: k.rows(0..<first))
                    work.arena.copy(before.values, to: v.rows(0..<first))
                }
                let own = first..<first + x.rows
                block.project(x, queries: q, keys: k.rows(own), values: v.rows(own), in: work)
                work.kernels.attention(
                    q, k, v, groups: branches.groups, heads: block.heads, causal: true, to: context, in: work.arena)
            }
            block.finish(context, residual: x, record: nil, to: y, in: work)
        }
    }
}

extension EncoderLayer {
    /// Runs the layer on the branches of a tree; see ``SelfAttention/callAsFunction(_:branches:after:keeping:to:in:)``.
    ///
    /// - Parameters:
    ///   - source: Keys and values for the cross-attention; ignored by a layer without one.
    ///   - y: `[rows, width]`; may be `x`.
    public func callAsFunction(
        _ x: TensorView, branches: Branches, after before: KeysValues?, keeping: KeysValues?, source: KeysValues?,
        to y: TensorView, in work: Workspace
    ) {
        work.arena.scoped {
            let own = work.reserve(x.shape)
            selfAttention(x, branches: branches, after: before, keeping: keeping, to: own, in: work)
            var parts: ArenaList<CrossPart> = work.arena.list(capacity: 1)
            if let source { parts.append(CrossPart(rows: 0..<x.rows, source: .projected(source))) }
            finish(own, parts: parts, record: nil, to: y, in: work)
        }
    }
}
