import AlbefKernels
import AlbefLayers
import AlbefTensor

extension VisionTransformer {
    /// Carries the gradient at the encoded class token down to the class token's attention in a block.
    ///
    /// Each block is run again from its kept input as the gradient passes, so that the tensors of one block exist at a time.
    /// At the output of the last block the gradient is zero but for the class token, and at the output of the block that is
    /// looked at no other row is wanted; only the blocks between carry all rows.
    ///
    /// - Parameters:
    ///   - g: `[1, width]`.
    ///   - states: Kept by the forward pass from the block on that is looked at, `[inputs, tokens, width]`.
    ///   - probabilities: `[heads, 1, tokens]`: receives the class token's attention.
    ///   - gradient: Of the same shape: receives the gradient at it.
    func backwardClassAttention(
        _ g: TensorView, states: TensorView, probabilities: TensorView, to gradient: TensorView, in work: Workspace
    ) {
        let first = blocks.count + 1 - states.shape[0]
        work.arena.scoped {
            let row = work.reserve(g.shape)
            work.arena.scoped {
                let record = norm.reserveRecord(rows: 1, in: work)
                norm(states.matrix(blocks.count - first).rows(0..<1), record: record, to: row, in: work)
                norm.backward(g, record, to: row, in: work)
            }
            var current = row
            let all = first + 2 < blocks.count ? work.reserve(states.matrix(0).shape) : row
            for index in stride(from: blocks.count - 1, to: first, by: -1) {
                let below = index == first + 1 ? row : all
                work.arena.scoped {
                    let record = blocks[index].record(states.matrix(index - first), rows: current.rows, in: work)
                    blocks[index].backward(current, record, to: below, in: work)
                }
                current = below
            }
            let record = blocks[first].record(states.matrix(0), rows: 1, in: work)
            blocks[first].backwardClassAttention(
                current, record, probabilities: probabilities, to: gradient, in: work)
        }
    }
}
