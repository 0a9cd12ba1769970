import AlbefKernels
import AlbefTensor

/// A run of rows that continue one another, in a tree of token sequences that begin alike: the tokens of a sequence are the
/// ancestors' rows and then its own.
public struct Branch: Sendable, Equatable {
    /// The rows before the first, from the first token of the tree on.
    public let ancestors: [Range<Int>]
    /// The branch's own rows, each behind the one before.
    public let rows: Range<Int>

    public init(ancestors: [Range<Int>], rows: Range<Int>) {
        self.ancestors = ancestors
        self.rows = rows
    }

    /// Ancestors of the first row.
    public var depth: Int { ancestors.reduce(0) { $0 + $1.count } }
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
        _ x: TensorView, branches: [Branch], after before: KeysValues?, keeping: KeysValues?, to y: TensorView,
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
                for branch in branches {
                    work.arena.scoped {
                        let first = (before?.keys.rows ?? 0) + branch.depth
                        let keys = gather(branch, of: k, after: before?.keys, in: work)
                        let values = gather(branch, of: v, after: before?.values, in: work)
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
    private func gather(_ branch: Branch, of rows: TensorView, after before: TensorView?, in work: Workspace) -> TensorView {
        let parts = [before].compactMap(\.self) + (branch.ancestors + [branch.rows]).map { rows.rows($0) }
        if parts.count == 1 { return parts[0] }
        let result = work.reserve(Shape(parts.reduce(0) { $0 + $1.rows }, rows.columns))
        var start = 0
        for part in parts {
            work.arena.copy(part, to: result.rows(start..<start + part.rows))
            start += part.rows
        }
        return result
    }
}

extension EncoderLayer {
    /// Runs the layer on the branches of a tree; see ``SelfAttention/callAsFunction(_:branches:after:keeping:to:in:)``.
    ///
    /// - Parameters:
    ///   - source: Keys and values for the cross-attention; ignored by a layer without one.
    ///   - y: `[rows, width]`; may be `x`.
    public func callAsFunction(
        _ x: TensorView, branches: [Branch], after before: KeysValues?, keeping: KeysValues?, source: KeysValues?,
        to y: TensorView, in work: Workspace
    ) {
        work.arena.scoped {
            let own = work.reserve(x.shape)
            selfAttention(x, branches: branches, after: before, keeping: keeping, to: own, in: work)
            let parts = source.map { [(rows: 0..<x.rows, source: CrossSource.projected($0))] } ?? []
            finish(own, parts: parts, record: nil, to: y, in: work)
        }
    }
}
