import AlbefTensor
import CAlbefKernels

extension Kernels {
    /// Token embeddings: `y[t] = (word(ids[t]) + types[0]) + positions[places[t]]`; an int8 word is `float(q) * scale`.
    ///
    /// - Parameters:
    ///   - ids: int32 `[T]`, each below the number of words.
    ///   - places: int32 `[T]`: where each token stands in its sequence, below `P`.
    ///   - words: One channel a vocabulary entry, depth `D`.
    ///   - positions: float32 `[P, D]`.
    ///   - types: float32 `[2, D]`; row 0 is used.
    ///   - y: float32 `[T, D]`, may have gaps between rows.
    public func embed(
        _ ids: TensorView, at places: TensorView, words: PackedMatrix, positions: ConstantTensor, types: ConstantTensor,
        to y: TensorView, in arena: Arena
    ) {
        let count = ids.shape.count
        precondition(positions.shape.rank == 2 && positions.shape.last == words.depth)
        precondition(types.shape.count >= words.depth && types.shape.last == words.depth)
        precondition(y.type == .float32 && y.rows == count && y.columns == words.depth)
        checkIndices(ids, count: count, below: words.channels, arena)
        checkIndices(places, count: count, below: positions.shape[0], arena)
        if arena.isPlanning || count == 0 { return }
        var args = unsafe alb_embed_args(
            count: count, n: words.depth, ids: arena.integers(ids), words_int8: nil, word_scales: nil, words_f32: nil,
            type: types.floats, places: arena.integers(places), positions: positions.floats, dst: arena.floats(y),
            dst_stride: y.rowStride)
        switch words {
        case .int8(let matrix):
            unsafe args.words_int8 = matrix.values.signedBytes
            unsafe args.word_scales = matrix.scales.floats
        case .float32(let matrix):
            unsafe args.words_f32 = matrix.values.floats
        }
        unsafe alb_embed(threadCount, &args)
    }

    /// Cuts a picture into square patches, each flattened in (channel, y, x) order: the input of the patch embedding.
    ///
    /// - Parameters:
    ///   - pixels: float32 `[3, R, R]`.
    ///   - patch: Edge of a patch `p`; divides `R`, and `G = R / p`.
    ///   - y: float32 `[G*G, 3*p*p]`, dense.
    public func patches(_ pixels: TensorView, patch: Int, to y: TensorView, in arena: Arena) {
        let size = pixels.columns
        precondition(pixels.isDense && pixels.shape == Shape(3, size, size) && patch > 0 && size % patch == 0)
        let grid = size / patch
        precondition(y.isDense && y.rows == grid * grid && y.columns == 3 * patch * patch)
        if arena.isPlanning { return }
        unsafe alb_patches(threadCount, size, patch, arena.floats(pixels), arena.floats(y))
    }

    /// Puts the class token before the patches and adds the position embeddings.
    ///
    /// - Parameters:
    ///   - patches: float32 `[P, D]`, may have gaps between rows.
    ///   - cls: float32 of `D` elements.
    ///   - positions: float32 of `(1 + P) * D` elements; position 0 belongs to the class token.
    ///   - y: float32 `[1 + P, D]`, may have gaps between rows.
    public func imageTokens(
        _ patches: TensorView, cls: ConstantTensor, positions: ConstantTensor, to y: TensorView, in arena: Arena
    ) {
        let count = patches.rows, columns = patches.columns
        precondition(cls.shape.count == columns && positions.shape.count == (1 + count) * columns)
        precondition(y.rows == 1 + count && y.columns == columns)
        if arena.isPlanning { return }
        unsafe alb_image_tokens(
            threadCount, count, columns, arena.floats(patches), patches.rowStride, cls.floats, positions.floats,
            arena.floats(y), y.rowStride)
    }

    /// Turns 8-bit pixels into the network's input: `(u8 / 255 - mean) / std`, and channels from innermost to outermost.
    ///
    /// - Parameters:
    ///   - pixels: uint8 `[R, R, 3]`.
    ///   - mean: Three values, of pixels in 0…1.
    ///   - std: Three values, not 0.
    ///   - y: float32 `[3, R, R]`.
    public func normalizePixels(_ pixels: TensorView, mean: [Float], std: [Float], to y: TensorView, in arena: Arena) {
        let size = y.columns
        precondition(pixels.isDense && pixels.shape == Shape(size, size, 3))
        precondition(y.isDense && y.shape == Shape(3, size, size) && mean.count == 3 && std.count == 3)
        if arena.isPlanning { return }
        unsafe alb_normalize_pixels(threadCount, size, arena.bytes(pixels), mean, std, arena.floats(y))
    }
}
