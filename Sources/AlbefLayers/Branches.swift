import AlbefKernels
import AlbefTensor

/// A run of rows that continue one another, in a tree of token sequences that begin alike: the tokens of a sequence are the
/// ancestors' rows and then its own.
public struct Branch: Sendable, Equatable, BitwiseCopyable {
    private let first, past: Int
    /// Which of the tree's runs are the ancestors.
    fileprivate let firstRun, pastRun: Int
    /// Ancestors of the first row.
    public let depth: Int

    /// The branch's own rows, each behind the one before.
    public var rows: Range<Int> { first..<past }

    fileprivate init(rows: Range<Int>, runs: Range<Int>, depth: Int) {
        (first, past) = (rows.lowerBound, rows.upperBound)
        (firstRun, pastRun) = (runs.lowerBound, runs.upperBound)
        self.depth = depth
    }
}

/// The branches of a tree; together all of its rows.
public struct Branches {
    /// Neighbouring rows among the ancestors of a branch.
    private struct Run: BitwiseCopyable {
        let first: Int
        var past: Int
    }

    private var branches: ArenaList<Branch>
    private var runs: ArenaList<Run>

    /// Room for the branches of a tree with so many rows, in which every branch has at most `depth` ancestors.
    public init(rows: Int, depth: Int, in arena: Arena) {
        branches = arena.list(capacity: rows)
        runs = arena.list(capacity: rows * depth)
    }

    /// Number of branches.
    public var count: Int { branches.count }

    public subscript(index: Int) -> Branch { branches[index] }

    /// Adds a branch.
    ///
    /// - Parameters:
    ///   - rows: Its own.
    ///   - ancestors: Rows before it, ascending; the first `depth` of the list.
    public mutating func append(_ rows: Range<Int>, ancestors: ArenaList<Int>, depth: Int) {
        let start = runs.count
        for place in 0..<depth {
            let row = ancestors[place]
            if runs.count > start, runs[runs.count - 1].past == row {
                runs[runs.count - 1].past = row + 1
            } else {
                runs.append(Run(first: row, past: row + 1))
            }
        }
        branches.append(Branch(rows: rows, runs: start..<runs.count, depth: depth))
    }

    /// Adds a branch without ancestors.
    public mutating func append(_ rows: Range<Int>) {
        branches.append(Branch(rows: rows, runs: runs.count..<runs.count, depth: 0))
    }

    /// How many runs of neighbouring rows the ancestors of a branch are.
    public func runs(of branch: Branch) -> Int { branch.pastRun - branch.firstRun }

    /// One of these runs; the first begins with the tree's first token.
    public func run(_ index: Int, of branch: Branch) -> Range<Int> {
        let run = runs[branch.firstRun + index]
        return run.first..<run.past
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
    ///   - keeping: Receives keys and values of all rows, `[rows, width]`; nil to keep none.
    ///   - y: `[rows, width]`, not `x`.
    public func callAsFunction(
        _ x: TensorView, branches: Branches, after before: KeysValues?, keeping: KeysValues?, to y: TensorView,
        in work: Workspace
    ) {
        precondition(causal)
        work.arena.scoped {
            let context = work.reserve(x.shape)
            work.arena.scoped {
                let q = work.reserve(x.shape)
                let k = keeping?.keys ?? work.reserve(x.shape)
                let v = keeping?.values ?? work.reserve(x.shape)
                block.project(x, queries: q, keys: k, values: v, in: work)
                for index in 0..<branches.count {
                    let branch = branches[index]
                    work.arena.scoped {
                        let first = (before?.keys.rows ?? 0) + branch.depth
                        let keys = gather(branch, of: branches, k, after: before?.keys, in: work)
                        let values = gather(branch, of: branches, v, after: before?.values, in: work)
                        work.kernels.attention(
                            q.rows(branch.rows), keys, values, heads: block.heads, causal: true, queryOffset: first,
                            to: context.rows(branch.rows), in: work.arena)
                    }
                }
            }
            block.finish(context, residual: x, record: nil, to: y, in: work)
        }
    }

    /// The rows that a branch sees, one after another.
    private func gather(
        _ branch: Branch, of branches: Branches, _ rows: TensorView, after before: TensorView?, in work: Workspace
    ) -> TensorView {
        let own = rows.rows(branch.rows)
        if before == nil, branch.depth == 0 { return own }
        let result = work.reserve(Shape((before?.rows ?? 0) + branch.depth + own.rows, rows.columns))
        var start = 0
        if let before { append(before, to: result, at: &start, in: work.arena) }
        for index in 0..<branches.runs(of: branch) {
            append(rows.rows(branches.run(index, of: branch)), to: result, at: &start, in: work.arena)
        }
        append(own, to: result, at: &start, in: work.arena)
        return result
    }

    private func append(_ part: TensorView, to result: TensorView, at start: inout Int, in arena: Arena) {
        arena.copy(part, to: result.rows(start..<start + part.rows))
        start += part.rows
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
