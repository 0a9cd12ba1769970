import AlbefTensor
import CAlbefKernels

extension Kernels {
    /// Multiplies two float matrices: `c = op(a) · op(b) * scale`, where op transposes if asked.
    ///
    /// - Parameters:
    ///   - a: Float32 `[M, K]`, or `[K, M]` when transposed; strided.
    ///   - b: Float32 `[K, N]`, or `[N, K]` when transposed; strided.
    ///   - scale: Multiplies every finished sum; nil leaves it.
    ///   - c: Float32 `[M, N]`, strided; must overlap neither operand.
    ///
    /// Bits: one accumulator an output, `acc = fmaf(a, b, acc)` with the depth ascending from +0, then one multiplication.
    public func product(
        _ a: TensorView, transposed aTransposed: Bool = false, _ b: TensorView, transposed bTransposed: Bool = false,
        scale: Float? = nil, to c: TensorView, in arena: Arena
    ) {
        precondition(a.shape.rank == 2 && b.shape.rank == 2 && c.shape.rank == 2)
        let rows = c.shape[0], columns = c.shape[1], depth = aTransposed ? a.shape[0] : a.shape[1]
        aTransposed ? a.requireMatrix(depth, rows) : a.requireMatrix(rows, depth)
        bTransposed ? b.requireMatrix(columns, depth) : b.requireMatrix(depth, columns)
        c.requireMatrix(rows, columns)
        products(
            batch: 1, rows: rows, columns: columns, depth: depth,
            lhs: .init(view: a, batch: 0, row: aTransposed ? 1 : a.rowStride, column: aTransposed ? a.rowStride : 1),
            rhs: .init(view: b, batch: 0, row: bTransposed ? 1 : b.rowStride, column: bTransposed ? b.rowStride : 1),
            to: .init(view: c, batch: 0, row: c.rowStride, column: 1), scale: scale ?? 1, in: arena)
    }

    /// One operand of a batch of products: where its rows and columns lie, in elements.
    struct Operand {
        let view: TensorView
        /// From one product of the batch to the next.
        let batch: Int
        /// From one row of the operand, as it enters the product, to the next.
        let row: Int
        /// From one column to the next.
        let column: Int
    }

    /// A batch of products. The caller has checked that all elements lie inside of the views.
    func products(
        batch: Int, rows: Int, columns: Int, depth: Int, lhs: Operand, rhs: Operand, to dst: Operand, scale: Float,
        in arena: Arena
    ) {
        precondition(dst.column == 1)
        if arena.isPlanning { return }
        // Safe: the shapes were checked against the views, and the arena checks that the views lie inside of it.
        var arguments = unsafe alb_product_f32_args(
            batch: batch, rows: rows, columns: columns, depth: depth,
            lhs: UnsafePointer(arena.floats(lhs.view)), lhs_batch: lhs.batch, lhs_row: lhs.row,
            lhs_depth: lhs.column,
            rhs: UnsafePointer(arena.floats(rhs.view)), rhs_batch: rhs.batch, rhs_depth: rhs.row,
            rhs_column: rhs.column,
            dst: arena.floats(dst.view), dst_batch: dst.batch, dst_row: dst.row, scale: scale)
        unsafe alb_product_f32(isa.code, threadCount, &arguments)
    }
}
