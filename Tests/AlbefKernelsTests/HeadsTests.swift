import CAlbefKernels
import Testing

private let reference = Setting(isa: ALB_ISA_SCALAR, threads: 1)

@Suite("Products head by head")
struct HeadsTests {
    /// A projection's backward by heads, and the same of each head alone, from the same guarded operands.
    private final class Backward {
        let rows, heads, width, depth: Int
        private let isInt8: Bool
        private let g: Guarded<Float>, weights: Guarded<Float>, bytes: Guarded<Int8>, scales: Guarded<Float>

        init(rows: Int, heads: Int, width: Int, depth: Int, isInt8: Bool, random: inout TestRandom) {
            (self.rows, self.heads, self.width, self.depth, self.isInt8) = (rows, heads, width, depth, isInt8)
            let channels = heads * width
            g = Guarded(random: &random, rows * (channels + 3) - 3, .atEnd)
            scales = Guarded(random: &random, channels, .atEnd)
            weights = Guarded(isInt8 ? 0 : channels * depth, .atEnd)
            bytes = Guarded(isInt8 ? channels * paddedDepth(depth) : 0, .atEnd)
            for i in 0..<weights.count { weights.start[i] = randomFloats[(i &* 31) % randomFloats.count] }
            for i in 0..<bytes.count { bytes.start[i] = Int8(truncatingIfNeeded: i &* 89 &+ i >> 7) }
        }

        private func arguments(_ head: Int, _ channels: Int, _ dst: UnsafeMutablePointer<Float>) -> alb_linear_backward_args {
            let first = head * width
            return alb_linear_backward_args(
                rows: rows, channels: channels, depth: depth, g: g.start + first, g_row: heads * width + 3,
                float_weights: isInt8 ? nil : UnsafePointer(weights.start + first * depth),
                int8_weights: isInt8 ? UnsafePointer(bytes.start + first * paddedDepth(depth)) : nil,
                scales: isInt8 ? UnsafePointer(scales.start + first) : nil, accumulate: false, dst: dst, dst_row: depth)
        }

        func together(_ setting: Setting) -> Guarded<Float> {
            let dst = Guarded<Float>(heads * rows * depth, .atEnd)
            dst.fill(byte: 0xa5)
            var args = arguments(0, heads * width, dst.start)
            alb_linear_backward_heads(setting.isa, setting.threads, heads, rows * depth, &args)
            return dst
        }

        func apart(_ setting: Setting) -> Guarded<Float> {
            let dst = Guarded<Float>(heads * rows * depth, .atEnd)
            for head in 0..<heads {
                var args = arguments(head, width, dst.start + head * rows * depth)
                alb_linear_backward(setting.isa, setting.threads, &args)
            }
            return dst
        }
    }

    @Test("queries that absorb a projection equal each head alone on every variant", arguments: [false, true])
    func backward(isInt8: Bool) {
        var random = TestRandom("backward by heads \(isInt8)")
        for (rows, heads, width, depth) in [
            (1, 1, 16, 1), (1, 3, 16, 63), (2, 2, 32, 64), (5, 4, 32, 65), (7, 2, 144, 128), (30, 3, 64, 130), (33, 2, 64, 192),
        ] {
            let layer = Backward(rows: rows, heads: heads, width: width, depth: depth, isInt8: isInt8, random: &random)
            let expected = layer.apart(reference)
            for setting in Setting.all {
                #expect(
                    layer.together(setting).firstDifference(from: expected) == nil,
                    "\(rows)x\(heads)x\(width)x\(depth), \(setting), seed \(random.seed)")
            }
        }
    }

    @Test("a head's rows meet the head's channels, with the bytes of a plain product, on every variant")
    func product() {
        var random = TestRandom("products by heads")
        for (rows, heads, width, depth) in [
            (1, 1, 16, 4), (1, 12, 64, 768), (2, 3, 16, 5), (5, 2, 80, 63), (7, 4, 32, 128), (30, 2, 64, 770), (13, 3, 144, 64),
        ] {
            // Rows of all heads, of which a head uses its own.
            let all = Int8Case(heads * rows, heads * width, depth, index: 0, placement: .atEnd, random: &random)
            let bias = Guarded(random: &random, heads * width, .atEnd)
            func arguments(_ head: Int, _ channels: Int, _ dst: UnsafeMutablePointer<Float>) -> alb_matmul_int8_args {
                alb_matmul_int8_args(
                    m: rows, n: channels, k: all.padded, lhs: all.lhs.start + head * rows * all.padded,
                    lhs_scales: all.lhsScales.start + head * rows, lhs_zero_points: all.lhsZeros.start + head * rows,
                    rhs: all.rhs.start + head * width * all.padded, rhs_scales: all.rhsScales.start + head * width,
                    rhs_sums: all.rhsSums.start + head * width,
                    epilogue: alb_epilogue(
                        bias: bias.start + head * width, activation: ALB_ACTIVATION_NONE, residual: nil, residual_stride: 0),
                    dst: dst, dst_stride: heads * width + 1)
            }
            let count = rows * (heads * width + 1) - 1
            let expected = Guarded<Float>(count, .atEnd)
            expected.fill(byte: 0xa5)
            for head in 0..<heads {
                var args = arguments(head, width, expected.start + head * width)
                alb_matmul_f32_qu8d_qs8c(ALB_ISA_SCALAR, 1, &args)
            }
            for setting in Setting.all {
                let dst = Guarded<Float>(count, .atEnd)
                dst.fill(byte: 0xa5)
                var args = arguments(0, heads * width, dst.start)
                alb_matmul_heads_f32_qu8d_qs8c(setting.isa, setting.threads, heads, &args)
                #expect(
                    dst.firstDifference(from: expected) == nil,
                    "\(rows)x\(heads)x\(width)x\(depth), \(setting), seed \(random.seed)")
            }
        }
    }

    @Test("attention to whole tokens takes the scale that it is given, with the scalar bytes", arguments: [(1, 5), (23, 65), (49, 577)])
    func scale(queries: Int, tokens: Int) {
        var random = TestRandom("attention to tokens \(tokens)")
        let attention = AttentionCase(queries: queries, keys: tokens, heads: 1, width: 130, random: &random)
        let kv = attention.quantized(reference)
        let plain = attention.int8(reference, kv)
        #expect(attention.int8(reference, kv, scale: alb_attention_scale(130)).firstDifference(from: plain) == nil)
        let expected = attention.int8(reference, kv, scale: 0.25)
        #expect(expected.firstDifference(from: plain) != nil, "a scale without effect")
        for setting in Setting.all {
            #expect(
                attention.int8(setting, kv, scale: 0.25).firstDifference(from: expected) == nil,
                "\(queries) queries, \(tokens) tokens, \(setting), seed \(random.seed)")
        }
    }
}
