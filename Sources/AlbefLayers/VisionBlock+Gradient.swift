import AlbefKernels
import AlbefTensor

/// The gradient of a block, in float, from the same packed weights as the forward pass.
///
/// A score looks at the class token alone, so that above a certain block the gradient is zero in all other rows: a gradient
/// here has as many rows as may differ from zero, the first ones. With `x` the block's input, `m = x + attention(norm1(x))`,
/// `h` the MLP before its GELU, and LNᵇ a LayerNorm's gradient (docs/arithmetic.md):
///
///     u  = g + LNᵇ₂((g W2 ⊙ gelu'(h)) W1)                                        at m
///     o  = split(u Wproj);  dP = o vᵀ;  dS = P ⊙ (dP - Σ dP ⊙ P) / √d
///     gx = u + LNᵇ₁([merge(dS k), merge(dSᵀ q), merge(Pᵀ o)] Wqkv)               at x
///
/// Probabilities are computed again from queries and keys, one head at a time: their square of tokens exists once.
extension VisionBlock {
    /// What the gradient needs of a forward pass.
    public struct Record {
        /// Queries, keys and values, `[tokens, 3 · width]`.
        let joint: TensorView
        /// Of all tokens.
        let firstNorm: LayerNorm.Record
        /// Of the first rows.
        let secondNorm: LayerNorm.Record
        /// `[rows, hidden]`: the MLP before its GELU.
        let preactivation: TensorView
    }

    /// Runs the block again as far as its gradient needs, with the bytes of the forward pass. The record stays in the arena
    /// until the caller releases it.
    ///
    /// - Parameters:
    ///   - x: The block's input, `[tokens, width]`.
    ///   - rows: How many of the first rows of the output have a gradient.
    public func record(_ x: TensorView, rows: Int, in work: Workspace) -> Record {
        let record = Record(
            joint: work.reserve(Shape(x.rows, 3 * x.columns)), firstNorm: firstNorm.reserveRecord(rows: x.rows, in: work),
            secondNorm: secondNorm.reserveRecord(rows: rows, in: work),
            preactivation: work.reserve(Shape(rows, mlp.first.outputs)))
        work.arena.scoped {
            let middle = work.reserve(Shape(rows, x.columns))
            attend(x, record: record.firstNorm, joint: record.joint, to: middle, in: work)
            secondNorm(middle, record: record.secondNorm, to: middle, in: work)
            mlp.first(middle, to: record.preactivation, in: work)
        }
        return record
    }

    /// The gradient at the input of a recorded pass.
    ///
    /// - Parameters:
    ///   - g: `[rows, width]`: the gradient at the output's first rows, as many as were recorded; it is zero in the others.
    ///   - x: `[n, width]`: the gradient at the input's first n rows, as many as are wanted; may be `g`.
    public func backward(_ g: TensorView, _ record: Record, to x: TensorView, in work: Workspace) {
        work.arena.scoped {
            let u = work.reserve(g.shape)
            backwardMLP(g, record, to: u, in: work)
            let joint = work.reserve(record.joint.shape)
            backwardAttention(u, record, to: joint, in: work)
            queryKeyValue.backward(joint.rows(0..<x.rows), to: x, in: work)
            firstNorm.backward(x, record.firstNorm.first(x.rows), to: x, in: work)
            let both = 0..<min(u.rows, x.rows)
            work.kernels.add(x.rows(both), u.rows(both), to: x.rows(both), in: work.arena)
        }
    }

    /// The attention of the class token, and the gradient at its probabilities: what Grad-CAM is made of.
    ///
    /// - Parameters:
    ///   - g: `[1, width]`: the gradient at the output's class token.
    ///   - probabilities: `[heads, 1, tokens]`, in float form.
    ///   - gradient: Of the same shape.
    public func backwardClassAttention(
        _ g: TensorView, _ record: Record, probabilities: TensorView, to gradient: TensorView, in work: Workspace
    ) {
        work.arena.scoped {
            let u = work.reserve(g.shape)
            let mixed = work.reserve(g.shape)
            backwardMLP(g, record, to: u, in: work)
            projection.backward(u, to: mixed, in: work)
            let (q, k, v) = queriesKeysValues(of: record.joint, columns: 0..<g.columns)
            work.kernels.attention(
                q.rows(0..<1), k, v, heads: heads, probabilities: probabilities, to: u, in: work.arena)
            work.kernels.attentionBackwardProbabilities(mixed, v: v, heads: heads, to: gradient, in: work.arena)
        }
    }

    /// The gradient `u` at `x + attention(norm1(x))`; `[rows, width]` both.
    private func backwardMLP(_ g: TensorView, _ record: Record, to u: TensorView, in work: Workspace) {
        mlp.backward(g, preactivation: record.preactivation, to: u, in: work)
        secondNorm.backward(u, record.secondNorm, to: u, in: work)
        work.kernels.add(u, g, to: u, in: work.arena)
    }

    /// The gradient at queries, keys and values, `[tokens, 3 · width]`, from that at the first half's output.
    private func backwardAttention(_ u: TensorView, _ record: Record, to joint: TensorView, in work: Workspace) {
        let tokens = joint.rows, rows = 0..<u.rows, width = u.columns / heads
        work.arena.scoped {
            let mixed = work.reserve(u.shape)
            projection.backward(u, to: mixed, in: work)
            let p = work.reserve(Shape(1, u.rows, tokens))
            let dS = work.reserve(Shape(1, u.rows, tokens))
            let unused = work.reserve(Shape(u.rows, width))
            work.arena.clear(joint.rows(u.rows..<tokens))
            for head in 0..<heads {
                let columns = head * width..<(head + 1) * width
                let (q, k, v) = queriesKeysValues(of: record.joint, columns: columns)
                let (dq, dk, dv) = queriesKeysValues(of: joint, columns: columns)
                let o = mixed.columns(columns)
                work.kernels.attention(q.rows(rows), k, v, heads: 1, probabilities: p, to: unused, in: work.arena)
                work.kernels.attentionBackwardProbabilities(o, v: v, heads: 1, to: dS, in: work.arena)
                work.kernels.attentionBackwardScores(
                    dS, probabilities: p, scale: Kernels.attentionScale(width: width), to: dS, in: work.arena)
                work.kernels.attentionBackwardQueries(dS, keys: k, to: dq.rows(rows), in: work.arena)
                work.kernels.attentionBackwardKeys(dS, queries: q.rows(rows), to: dk, in: work.arena)
                work.kernels.attentionBackwardValues(p, outputGradient: o, to: dv, in: work.arena)
            }
        }
    }

    /// The same columns of the queries, the keys and the values.
    private func queriesKeysValues(of joint: TensorView, columns: Range<Int>) -> (TensorView, TensorView, TensorView) {
        let width = joint.columns / 3
        func part(_ index: Int) -> TensorView {
            joint.columns(columns.lowerBound + index * width..<columns.upperBound + index * width)
        }
        return (part(0), part(1), part(2))
    }
}
