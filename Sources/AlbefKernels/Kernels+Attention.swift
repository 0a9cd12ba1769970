import AlbefTensor
import CAlbefKernels

extension Kernels {
    /// Float attention: text and decoder self-attention, and every attention of a float32 model.
    ///
    ///     y = softmax(q · kᵀ / √d) · v     for each head, a block of d columns
    ///
    /// - Parameters:
    ///   - q: Float32 `[T, heads * d]`, strided.
    ///   - k, v: Float32 `[S, heads * d]`, strided, S at least 1.
    ///   - causal: Query t sees the first `queryOffset + t + 1` keys and no others; otherwise it sees all.
    ///   - queryOffset: How many keys come before the first query's own, when the queries are the end of a longer text.
    ///   - probabilities: Float32 `[heads, T, S]` dense; written when given (0 where a query does not see a key). `y` has
    ///     the same bytes with and without.
    ///   - y: Float32 `[T, heads * d]`, strided; must overlap no input.
    ///
    /// Bits: a row of `y` depends on its own query, the keys and the values alone. Scores and sums are float products with
    /// one accumulator each, the exponential is ours and the row sum is R16; the order is written in `alb_attention_f32.h`.
    public func attention(
        _ q: TensorView, _ k: TensorView, _ v: TensorView, heads: Int, causal: Bool = false, queryOffset: Int = 0,
        probabilities: TensorView? = nil, to y: TensorView, in arena: Arena
    ) {
        precondition(q.shape.rank == 2 && k.shape.rank == 2 && heads >= 1 && queryOffset >= 0)
        let queries = q.shape[0], keys = k.shape[0], columns = q.shape[1], width = columns / heads
        precondition(keys >= 1 && width >= 1 && width * heads == columns)
        q.requireMatrix(queries, columns)
        k.requireMatrix(keys, columns)
        v.requireMatrix(keys, columns)
        y.requireMatrix(queries, columns)
        probabilities?.requireDense(Shape(heads, queries, keys))
        arena.scoped {
            let size = alb_attention_f32_scratch_bytes(threadCount, heads, keys, width)
            let scratch = arena.reserve(Shape(size), .uint8)
            if arena.isPlanning { return }
            // Safe: the shapes were checked above, and the arena checks that the views lie inside of it.
            var arguments = unsafe alb_attention_f32_args(
                heads: heads, queries: queries, keys: keys, width: width,
                q: UnsafePointer(arena.floats(q)), q_row: q.rowStride,
                k: UnsafePointer(arena.floats(k)), k_row: k.rowStride,
                v: UnsafePointer(arena.floats(v)), v_row: v.rowStride,
                causal: causal, query_offset: queryOffset,
                probabilities: probabilities.map { unsafe arena.floats($0) },
                dst: arena.floats(y), dst_row: y.rowStride, scratch: arena.pointer(to: scratch))
            unsafe alb_attention_f32(isa.code, threadCount, &arguments)
        }
    }

    /// Float attention of many groups of queries, each with keys of its own: what a call for each group would give, in one call
    /// that threads divide among them.
    ///
    /// - Parameters:
    ///   - q: Float32 `[T, heads * d]`, strided.
    ///   - k, v: Float32 `[S, heads * d]`, strided.
    ///   - groups: Which rows of `q` meet which rows of `k` and `v`.
    ///   - causal: As for one group; each has a query offset of its own.
    ///   - y: Float32 `[T, heads * d]`, strided; must overlap no input. Rows of no group are left as they are.
    ///
    /// Bits: those of ``attention(_:_:_:heads:causal:queryOffset:probabilities:to:in:)`` for each group.
    public func attention(
        _ q: TensorView, _ k: TensorView, _ v: TensorView, groups: AttentionGroups, heads: Int, causal: Bool = false,
        to y: TensorView, in arena: Arena
    ) {
        precondition(q.shape.rank == 2 && k.shape.rank == 2 && heads >= 1)
        let queries = q.shape[0], keys = k.shape[0], columns = q.shape[1], width = columns / heads
        precondition(width >= 1 && width * heads == columns)
        q.requireMatrix(queries, columns)
        k.requireMatrix(keys, columns)
        v.requireMatrix(keys, columns)
        y.requireMatrix(queries, columns)
        arena.scoped {
            let longest = max(1, groups.longest(queries: queries, keys: keys))
            let scratch = arena.reserve(
                Shape(alb_attention_f32_groups_scratch_bytes(threadCount, longest, width)), .uint8)
            if arena.isPlanning { return }
            // Safe: the shapes and the groups' rows were checked above, and the arena checks that the views lie inside of it.
            var arguments = unsafe alb_attention_f32_groups_args(
                heads: heads, width: width,
                q: UnsafePointer(arena.floats(q)), q_row: q.rowStride,
                k: UnsafePointer(arena.floats(k)), k_row: k.rowStride,
                v: UnsafePointer(arena.floats(v)), v_row: v.rowStride,
                causal: causal, groups: groups.count, group: groups.code, rows: groups.keyRows, longest: longest,
                dst: arena.floats(y), dst_row: y.rowStride, scratch: arena.pointer(to: scratch))
            unsafe alb_attention_f32_groups(isa.code, threadCount, &arguments)
        }
    }

    /// The factor of attention scores for heads of `width` columns: 1/√width in float.
    public static func attentionScale(width: Int) -> Float {
        precondition(width >= 1)
        return alb_attention_scale(width)
    }
}
