import CAlbefKernels

/// Groups of rows that attend to tokens themselves, with random projections around the attention; operands lie at the ends of
/// pages.
final class AbsorbedCase {
    private let heads, width, depth: Int
    private let rows, queryRows, dstRows: [Int]
    private let q, factors, ones, bias: Guarded<Float>
    private let tokens: [QuantizedTokens]
    private let keys, values: Weights
    private let stride: Int
    private let dstCount: Int
    private var channels: Int { heads * width }

    /// A packed matrix of int8 weights.
    private struct Weights {
        let values: Guarded<Int8>, scales: Guarded<Float>, sums: Guarded<Int32>

        init(channels: Int, depth: Int, random: inout TestRandom) {
            values = AttentionCase.aligned(channels * depth)
            scales = Guarded(random: &random, channels, .atEnd)
            sums = Guarded(channels, .atEnd)
            for i in 0..<channels { sums.start[i] = 0 }
            for i in 0..<channels * depth {
                let weight = Int8.random(in: -127...127, using: &random)
                values.start[i] = weight
                // 16 channels side by side, each with 4 neighbouring inputs.
                sums.start[i / (16 * depth) * 16 + i % 64 / 4] += Int32(weight)
            }
        }
    }

    /// Tokens as the keys and values of one head.
    private struct QuantizedTokens {
        let kv: alb_keys_values_s8
        private let keep: (Guarded<Int8>, Guarded<Float>, Guarded<Int32>, Guarded<Int8>, Guarded<Float>)

        init(_ count: Int, depth: Int, random: inout TestRandom) {
            let lanes = (count + 15) / 16 * 16, groups = (count + 3) / 4 * 4
            let source = Guarded<Float>(random: &random, count * depth, .atEnd)
            keep = (
                AttentionCase.aligned(lanes * depth), AttentionCase.aligned(lanes), AttentionCase.aligned(lanes),
                AttentionCase.aligned(depth * groups), AttentionCase.aligned(depth)
            )
            var kv = alb_keys_values_s8(
                heads: 1, tokens: count, width: depth, keys: keep.0.start, key_scales: keep.1.start, key_sums: keep.2.start,
                values: keep.3.start, value_scales: keep.4.start)
            alb_attention_s8_quantize(ALB_ISA_SCALAR, 1, source.start, depth, source.start, depth, &kv)
            self.kv = kv
        }
    }

    /// - Parameter shared: Whether all groups have the same queries, the first rows.
    init(
        heads: Int, width: Int, depth: Int, tokens: [Int], rows: [Int], shared: Bool, random: inout TestRandom
    ) {
        (self.heads, self.width, self.depth, self.rows) = (heads, width, depth, rows)
        stride = heads * width + 3
        var starts: [Int] = [], next = 0
        for count in rows {
            starts.append(next)
            next += count
        }
        dstRows = starts
        queryRows = shared ? starts.map { _ in 0 } : starts
        dstCount = (next - 1) * stride + heads * width
        q = Guarded(random: &random, dstCount, .atEnd)
        factors = Guarded(random: &random, heads * width, .atEnd)
        bias = Guarded(random: &random, heads * width, .atEnd)
        ones = Guarded(heads * depth, .atEnd)
        for i in 0..<heads * depth { ones.start[i] = 1 }
        self.tokens = tokens.map { QuantizedTokens($0, depth: depth, random: &random) }
        keys = Weights(channels: heads * depth, depth: width, random: &random)
        values = Weights(channels: heads * width, depth: depth, random: &random)
    }

    private func empty() -> Guarded<Float> {
        let dst = Guarded<Float>(dstCount, .atEnd)
        dst.fill(byte: 0xa5)
        return dst
    }

    func run(_ setting: Setting) -> Guarded<Float> {
        let dst = empty()
        let most = tokens.map(\.kv.tokens).max() ?? 1
        let bytes = alb_absorbed_attention_scratch_bytes(setting.threads, most, width, depth)
        let scratch = AttentionCase.aligned((bytes + 63) / 64 * 64, as: UInt8.self)
        let groups = rows.indices.map {
            alb_absorbed_group(query: queryRows[$0], row: dstRows[$0], rows: rows[$0], tokens: tokens[$0].kv)
        }
        groups.withUnsafeBufferPointer { groups in
            var args = alb_absorbed_attention_args(
                heads: heads, width: width, depth: depth, q: q.start, q_row: stride, keys: keys.values.start,
                key_scales: ones.start, key_sums: keys.sums.start, key_factors: factors.start, values: values.values.start,
                value_scales: values.scales.start, value_sums: values.sums.start, value_bias: bias.start,
                scale: alb_attention_scale(width), count: groups.count, groups: groups.baseAddress!, dst: dst.start,
                dst_row: stride, scratch: scratch.start)
            alb_absorbed_attention(setting.isa, setting.threads, &args)
        }
        return dst
    }

    /// The same with one scalar kernel after another, each group and head by itself.
    func stepByStep() -> Guarded<Float> {
        let dst = empty()
        for (group, head) in rows.indices.flatMap({ group in (0..<heads).map { (group, $0) } }) {
            let count = rows[group]
            let scaled = Guarded<Float>(count * width, .atEnd)
            for i in 0..<count * width {
                let row = queryRows[group] + i / width, channel = head * width + i % width
                scaled.start[i] = q.start[row * stride + channel] * factors.start[channel]
            }
            let queries = Guarded<Float>(count * depth, .atEnd), mixed = Guarded<Float>(count * depth, .atEnd)
            multiply(
                scaled, rows: count, width, keys, scales: ones.start, first: head * depth, depth, bias: nil,
                to: queries.start, depth)
            var kv = tokens[group].kv
            let bytes = alb_attention_s8_scratch_bytes(1, kv.tokens, depth)
            let scratch = AttentionCase.aligned((bytes + 63) / 64 * 64, as: UInt8.self)
            alb_attention_s8(
                ALB_ISA_SCALAR, 1, count, queries.start, depth, &kv, alb_attention_scale(width), mixed.start, depth,
                scratch.start)
            multiply(
                mixed, rows: count, depth, values, scales: values.scales.start, first: head * width, width,
                bias: bias.start + head * width, to: dst.start + dstRows[group] * stride + head * width, stride)
        }
        return dst
    }

    /// Quantises dense rows and multiplies them by some channels of a matrix.
    private func multiply(
        _ x: Guarded<Float>, rows count: Int, _ inputs: Int, _ weights: Weights, scales: UnsafePointer<Float>, first: Int,
        _ outputs: Int, bias: UnsafePointer<Float>?, to y: UnsafeMutablePointer<Float>, _ stride: Int
    ) {
        let bytes = Guarded<UInt8>(count * inputs, .atEnd), rowScales = Guarded<Float>(count, .atEnd)
        let zeros = Guarded<Int32>(count, .atEnd)
        var quantized = alb_quantize_args(
            m: count, k: inputs, src: x.start, src_stride: inputs, dst: bytes.start, dst_stride: inputs,
            scales: rowScales.start, zero_points: zeros.start)
        alb_quantize_qu8d_f32(ALB_ISA_SCALAR, 1, &quantized)
        var product = alb_matmul_int8_args(
            m: count, n: outputs, k: inputs, lhs: bytes.start, lhs_scales: rowScales.start, lhs_zero_points: zeros.start,
            rhs: weights.values.start + first * inputs, rhs_scales: scales + first, rhs_sums: weights.sums.start + first,
            epilogue: alb_epilogue(bias: bias, activation: ALB_ACTIVATION_NONE, residual: nil, residual_stride: 0),
            dst: y, dst_stride: stride)
        alb_matmul_f32_qu8d_qs8c(ALB_ISA_SCALAR, 1, &product)
    }
}
