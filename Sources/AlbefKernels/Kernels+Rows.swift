import AlbefTensor
import CAlbefKernels

extension Kernels {
    /// Normalises each row to zero mean and unit variance, then scales and shifts it.
    ///
    ///     y = (x - mean) / sqrt(variance + epsilon) * weight + bias
    ///
    /// - Parameters:
    ///   - x: float32 `[M, N]`, may have gaps between rows.
    ///   - weight: float32 `[N]`.
    ///   - bias: float32 `[N]`.
    ///   - epsilon: Added to the biased variance before the root: 1e-6 in the vision transformer, 1e-12 in BERT.
    ///   - y: float32 `[M, N]`, may have gaps between rows and may be `x`.
    public func layerNorm(
        _ x: TensorView, weight: ConstantTensor, bias: ConstantTensor, epsilon: Float, to y: TensorView, in arena: Arena
    ) {
        layerNorm(x, weight, bias, epsilon, y, normalized: nil, reciprocals: nil, arena)
    }

    /// As the plain form, with the same bytes in `y`, and keeps what the gradient needs.
    ///
    /// - Parameters:
    ///   - normalized: float32 `[M, N]`: `(x - mean) * r`.
    ///   - reciprocals: float32 `[M]`: `r = 1 / sqrt(variance + epsilon)`.
    public func layerNorm(
        _ x: TensorView, weight: ConstantTensor, bias: ConstantTensor, epsilon: Float, to y: TensorView,
        normalized: TensorView, reciprocals: TensorView, in arena: Arena
    ) {
        precondition(normalized.isDense && normalized.rows == x.rows && normalized.columns == x.columns)
        precondition(reciprocals.isDense && reciprocals.shape.count == x.rows)
        layerNorm(x, weight, bias, epsilon, y, normalized: normalized, reciprocals: reciprocals, arena)
    }

    /// Normalises each row and quantises it at once, with the bytes of the one after the other.
    ///
    /// - Parameters: as in the plain form.
    /// - Returns: The quantised rows, reserved in `arena` for as long as the caller's mark.
    public func layerNormQuantized(
        _ x: TensorView, weight: ConstantTensor, bias: ConstantTensor, epsilon: Float, in arena: Arena
    ) -> QuantizedRows {
        precondition(x.type == .float32 && x.columns > 0)
        precondition(weight.shape.count == x.columns && bias.shape.count == x.columns)
        let result = reserveQuantizedRows(x.rows, depth: x.columns, in: arena)
        arena.scoped {
            let scratch = arena.reserve(Shape(Int(threadCount) * Int(ALB_LAYER_NORM_SCRATCH_ROWS), x.columns), .float32)
            if arena.isPlanning || x.rows == 0 { return }
            var norm = unsafe alb_layer_norm_args(
                m: x.rows, n: x.columns, src: arena.floats(x), src_stride: x.rowStride, weight: weight.floats,
                bias: bias.floats, epsilon: epsilon, dst: arena.floats(scratch), dst_stride: x.columns,
                normalized: nil, reciprocals: nil)
            var rows = unsafe alb_quantize_args(
                m: x.rows, k: x.columns, src: arena.floats(scratch), src_stride: x.columns, dst: arena.bytes(result.values),
                dst_stride: result.values.columns, scales: arena.floats(result.scales),
                zero_points: arena.integers(result.zeroPoints))
            unsafe alb_layer_norm_qu8d_f32(isa.code, threadCount, &norm, &rows, arena.floats(scratch))
        }
        return result
    }

    private func layerNorm(
        _ x: TensorView, _ weight: ConstantTensor, _ bias: ConstantTensor, _ epsilon: Float, _ y: TensorView,
        normalized: TensorView?, reciprocals: TensorView?, _ arena: Arena
    ) {
        checkSameShape(x, y)
        precondition(weight.shape.count == x.columns && bias.shape.count == x.columns)
        if arena.isPlanning || x.rows == 0 { return }
        unsafe withUnsafePointer(
            to: alb_layer_norm_args(
                m: x.rows, n: x.columns, src: arena.floats(x), src_stride: x.rowStride, weight: weight.floats,
                bias: bias.floats, epsilon: epsilon, dst: arena.floats(y), dst_stride: y.rowStride,
                normalized: normalized.map { unsafe arena.floats($0) },
                reciprocals: reciprocals.map { unsafe arena.floats($0) })
        ) { unsafe alb_layer_norm_f32(isa.code, threadCount, $0) }
    }

    /// The softmax of each row: `exp(x - max x)` divided by its sum.
    ///
    /// - Parameters:
    ///   - x: float32 `[M, N]`, may have gaps between rows.
    ///   - y: float32 `[M, N]`, may have gaps between rows and may be `x`.
    public func softmax(_ x: TensorView, to y: TensorView, in arena: Arena) {
        checkSameShape(x, y)
        if arena.isPlanning || x.rows == 0 { return }
        unsafe withUnsafePointer(to: rows(x, y, stride: y.rowStride, arena)) {
            unsafe alb_softmax_f32(isa.code, threadCount, $0)
        }
    }

    /// The logarithm of some softmax probabilities of each row: `(x[id] - max x) - log(sum exp(x - max x))`.
    ///
    /// - Parameters:
    ///   - logits: float32 `[M, V]`, may have gaps between rows.
    ///   - ids: int32 `[I]`, each in `0..<V`: those of row 0, then those of row 1, and so on.
    ///   - ends: int32 `[M]`, ascending: where the ids of each row end, the last at `I`; nil for one id a row.
    ///   - y: float32 `[I]`.
    public func logSoftmaxGather(
        _ logits: TensorView, ids: TensorView, ends: TensorView? = nil, to y: TensorView, in arena: Arena
    ) {
        let count = ids.shape.count
        precondition(logits.type == .float32 && y.type == .float32 && y.isDense && y.shape.count == count)
        precondition(ends != nil || count == logits.rows)
        checkIndices(ids, count: count, below: logits.columns, arena)
        if let ends { checkEnds(ends, count: logits.rows, last: count, arena) }
        if arena.isPlanning || logits.rows == 0 { return }
        unsafe withUnsafePointer(to: rows(logits, y, stride: 1, ids: ids, ends: ends, arena)) {
            unsafe alb_log_softmax_gather_f32(isa.code, threadCount, $0)
        }
    }

    /// Divides each row by its length, or by 1e-12 if that is greater.
    ///
    /// - Parameters:
    ///   - x: float32 `[M, N]`, may have gaps between rows.
    ///   - y: float32 `[M, N]`, may have gaps between rows and may be `x`.
    public func l2Normalize(_ x: TensorView, to y: TensorView, in arena: Arena) {
        checkSameShape(x, y)
        if arena.isPlanning || x.rows == 0 { return }
        unsafe withUnsafePointer(to: rows(x, y, stride: y.rowStride, arena)) {
            unsafe alb_l2_normalize_f32(isa.code, threadCount, $0)
        }
    }

    /// The sum of each row, in the one order of summation (R16).
    ///
    /// - Parameters:
    ///   - x: float32 `[N]` or `[M, N]`, may have gaps between rows.
    ///   - y: float32 `[1]` or `[M]`.
    public func sum(_ x: TensorView, to y: TensorView, in arena: Arena) {
        precondition(x.type == .float32 && y.type == .float32 && y.isDense && y.shape.count == x.rows && x.columns > 0)
        if arena.isPlanning || x.rows == 0 { return }
        unsafe withUnsafePointer(to: rows(x, y, stride: 1, arena)) { unsafe alb_sum_f32(isa.code, threadCount, $0) }
    }

    /// True when no value is an infinity or a NaN. True while planning.
    ///
    /// - Parameter x: float32, may have gaps between rows.
    public func allFinite(_ x: TensorView, in arena: Arena) -> Bool {
        precondition(x.type == .float32)
        if arena.isPlanning || x.rows == 0 { return true }
        return unsafe alb_all_finite_f32(x.rows, x.columns, arena.floats(x), x.rowStride)
    }

    private func checkSameShape(_ x: TensorView, _ y: TensorView) {
        precondition(x.type == .float32 && y.type == .float32 && x.columns > 0)
        precondition(x.rows == y.rows && x.columns == y.columns)
    }

    /// Ids index memory inside the kernels: a wrong one must stop before.
    func checkIndices(_ ids: TensorView, count: Int, below limit: Int, _ arena: Arena) {
        precondition(ids.type == .int32 && ids.isDense && ids.shape.count == count)
        if arena.isPlanning { return }
        for index in 0..<count {
            let id = Int(arena.element(index, of: ids, as: Int32.self))
            precondition(id >= 0 && id < limit, "an id lies outside of its table")
        }
    }

    /// Ends index memory as ids do.
    private func checkEnds(_ ends: TensorView, count: Int, last: Int, _ arena: Arena) {
        precondition(ends.type == .int32 && ends.isDense && ends.shape.count == count)
        if arena.isPlanning { return }
        var start = 0
        for row in 0..<count {
            let end = Int(arena.element(row, of: ends, as: Int32.self))
            precondition(end >= start, "ends must ascend")
            start = end
        }
        precondition(start == last, "the ends do not cover the ids")
    }

    private func rows(
        _ x: TensorView, _ y: TensorView, stride: Int, ids: TensorView? = nil, ends: TensorView? = nil, _ arena: Arena
    ) -> alb_rows_args {
        unsafe alb_rows_args(
            m: x.rows, n: x.columns, src: arena.floats(x), src_stride: x.rowStride,
            ids: ids.map { unsafe UnsafePointer(arena.integers($0)) },
            id_ends: ends.map { unsafe UnsafePointer(arena.integers($0)) }, dst: arena.floats(y), dst_stride: stride)
    }
}
