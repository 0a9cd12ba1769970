import AlbefTensor
import CAlbefKernels

/// Keys and values of one sequence of tokens (an image's) as int8, ready for ``Kernels/attention(_:_:heads:to:in:)``; made
/// once and met by the queries of any number of texts. The layout is drawn in `alb_attention_s8.h`.
public struct QuantizedKeysValues: Sendable, Equatable, BitwiseCopyable {
    /// Number of heads.
    public let heads: Int
    /// Tokens (S).
    public let tokens: Int
    /// Columns of one head (d).
    public let width: Int
    /// Int8 `[heads, S/16, d/4, 16, 4]`, flat; symmetric per (token, head).
    let keys: TensorView
    /// Float32 `[heads, S]`, S padded to 16.
    let keyScales: TensorView
    /// Int32 `[heads, S]`, S padded to 16: the sum of a key's int8 values.
    let keySums: TensorView
    /// Int8 `[heads, d/16, S/4, 16, 4]`, flat; symmetric per (head, channel) over the tokens.
    let values: TensorView
    /// Float32 `[heads, d]`, d padded to 16.
    let valueScales: TensorView

    /// The most tokens, and the most columns of a head, for which the int32 sums hold.
    public static let maximumLength = 32_768
}

extension Kernels {
    /// Quantises keys and values for int8 attention.
    ///
    /// - Parameters:
    ///   - k, v: Float32 `[S, heads * d]`, strided; S and d from 1 to 32 768.
    /// - Returns: Tensors in `arena`, reserved there for as long as the caller's mark.
    ///
    /// Bits: `scale = absmax / 127`, `q = clamp(rne(x * (127 / absmax)), -127, 127)`; an absmax below 2⁻¹⁰⁰ gives zeros.
    public func quantizeKeysValues(_ k: TensorView, _ v: TensorView, heads: Int, in arena: Arena) -> QuantizedKeysValues {
        precondition(k.shape.rank == 2 && heads >= 1)
        let tokens = k.shape[0], columns = k.shape[1], width = columns / heads
        precondition(width >= 1 && width * heads == columns)
        precondition(tokens >= 1 && max(tokens, width) <= QuantizedKeysValues.maximumLength)
        k.requireMatrix(tokens, columns)
        v.requireMatrix(tokens, columns)
        let result = reserveKeysValues(heads: heads, tokens: tokens, width: width, in: arena)
        if arena.isPlanning { return result }
        // Safe: the shapes were checked above, and the arena checks that the views lie inside of it.
        var arguments = unsafe keysValues(result, in: arena)
        unsafe alb_attention_s8_quantize(
            isa.code, threadCount, arena.floats(k), k.rowStride, arena.floats(v), v.rowStride,
            &arguments)
        return result
    }

    /// Quantises tokens that serve as keys and values themselves, of one head of their width, from where they lie outside of
    /// any arena.
    ///
    /// - Parameter tokens: `[S, width]`, row after row; S and the width from 1 to 32 768.
    /// - Returns: As for keys and values that are both these tokens.
    public func quantizeTokens(_ tokens: Span<Float>, width: Int, in arena: Arena) -> QuantizedKeysValues {
        precondition(width >= 1 && tokens.count >= width && tokens.count % width == 0)
        let count = tokens.count / width
        precondition(max(count, width) <= QuantizedKeysValues.maximumLength)
        let result = reserveKeysValues(heads: 1, tokens: count, width: width, in: arena)
        if arena.isPlanning { return result }
        unsafe tokens.withUnsafeBufferPointer { buffer in
            guard let start = buffer.baseAddress else { return }
            // Safe: the span holds `count` rows, and the arena checks that the views lie inside of it.
            var arguments = unsafe keysValues(result, in: arena)
            unsafe alb_attention_s8_quantize(isa.code, threadCount, start, width, start, width, &arguments)
        }
        return result
    }

    private func reserveKeysValues(heads: Int, tokens: Int, width: Int, in arena: Arena) -> QuantizedKeysValues {
        let lanes = PackedLayout.paddedChannels(tokens), channels = PackedLayout.paddedChannels(width)
        return QuantizedKeysValues(
            heads: heads, tokens: tokens, width: width,
            keys: arena.reserve(Shape(heads * lanes * PackedLayout.paddedDepth(width)), .int8),
            keyScales: arena.reserve(Shape(heads, lanes)),
            keySums: arena.reserve(Shape(heads, lanes), .int32),
            values: arena.reserve(Shape(heads * channels * PackedLayout.paddedDepth(tokens)), .int8),
            valueScales: arena.reserve(Shape(heads, channels)))
    }

    /// Int8 attention, in ViT self-attention and in cross-attention to image tokens.
    ///
    ///     y = softmax(q · kᵀ / √d) · v     for each head, a block of d columns
    ///
    /// - Parameters:
    ///   - q: Float32 `[T, heads * d]`, strided.
    ///   - kv: From ``quantizeKeysValues(_:_:heads:in:)`` with the same heads and d.
    ///   - y: Float32 `[T, heads * d]`, strided; must overlap no input.
    ///
    /// Bits: a row of `y` depends on its own query and on `kv` alone. Queries are uint8 per (token, head), probabilities
    /// uint8 with a fixed scale, both products exact in int32; the order is written in `alb_attention_s8.h`.
    public func attention(
        _ q: TensorView, _ kv: QuantizedKeysValues, heads: Int, to y: TensorView, in arena: Arena
    ) {
        precondition(q.shape.rank == 2 && heads == kv.heads)
        let queries = q.shape[0], columns = heads * kv.width
        q.requireMatrix(queries, columns)
        y.requireMatrix(queries, columns)
        arena.scoped {
            let size = alb_attention_s8_scratch_bytes(threadCount, kv.tokens, kv.width)
            let scratch = arena.reserve(Shape(size), .uint8)
            if arena.isPlanning { return }
            // Safe: the shapes were checked above, and the arena checks that the views lie inside of it.
            var arguments = unsafe keysValues(kv, in: arena)
            unsafe alb_attention_s8(
                isa.code, threadCount, queries, arena.floats(q), q.rowStride, &arguments,
                Kernels.attentionScale(width: kv.width), arena.floats(y), y.rowStride, arena.pointer(to: scratch))
        }
    }

    @unsafe func keysValues(_ kv: QuantizedKeysValues, in arena: Arena) -> alb_keys_values_s8 {
        unsafe alb_keys_values_s8(
            heads: kv.heads, tokens: kv.tokens, width: kv.width,
            keys: arena.signedBytes(kv.keys),
            key_scales: arena.floats(kv.keyScales),
            key_sums: arena.integers(kv.keySums),
            values: arena.signedBytes(kv.values),
            value_scales: arena.floats(kv.valueScales))
    }
}
