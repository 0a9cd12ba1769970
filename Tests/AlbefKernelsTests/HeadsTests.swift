import AlbefKernels
import AlbefTensor
import CAlbefKernels
import Testing

private let reference = Setting(isa: ALB_ISA_SCALAR, threads: 1)

/// Where weight (n, k) lies in the packed int8 order; depth is a multiple of 4.
private func packedPosition(_ n: Int, _ k: Int, depth: Int) -> Int {
    ((n / 16 * (depth / 4) + k / 4) * 16 + n % 16) * 4 + k % 4
}

/// All triples below three bounds.
private func indices(_ a: Int, _ b: Int, _ c: Int) -> [(Int, Int, Int)] {
    (0..<a * b * c).map { ($0 / (b * c), $0 / c % b, $0 % c) }
}

@Suite("Products head by head")
struct HeadsTests {
    @Test("rows of heads, times factors, are quantised as rows by themselves, on every variant")
    func quantization() {
        var random = TestRandom("quantisation by heads")
        for (rows, heads, width) in [(1, 1, 1), (1, 12, 64), (17, 3, 20), (33, 2, 16), (40, 4, 33), (200, 1, 64)] {
            let columns = heads * width, padded = paddedDepth(width), count = heads * rows
            let src = Guarded<Float>(random: &random, rows * (columns + 3) - 3, .atEnd)
            let factors = Guarded<Float>(random: &random, columns, .atEnd)
            // A head whose factors are zeros has rows of zeros.
            if heads > 1 { for column in width..<2 * width { factors.start[column] = 0 } }
            let scaled = Guarded<Float>(count * width, .atEnd)
            for (head, row, column) in indices(heads, rows, width) {
                scaled.start[(head * rows + row) * width + column] =
                    src.start[row * (columns + 3) + head * width + column] * factors.start[head * width + column]
            }
            func quantized(_ body: (alb_quantize_args) -> Void) -> (Guarded<UInt8>, Guarded<Float>, Guarded<Int32>) {
                let values = Guarded<UInt8>(count * padded, .atEnd), scales = Guarded<Float>(count, .atEnd)
                let zeros = Guarded<Int32>(count, .atEnd)
                body(
                    alb_quantize_args(
                        m: rows, k: columns, src: src.start, src_stride: columns + 3, dst: values.start, dst_stride: padded,
                        scales: scales.start, zero_points: zeros.start))
                return (values, scales, zeros)
            }
            let expected = quantized {
                var args = $0
                (args.m, args.k, args.src, args.src_stride) = (count, width, UnsafePointer(scaled.start), width)
                alb_quantize_qu8d_f32(reference.isa, 1, &args)
            }
            for setting in Setting.all {
                let scratch = Guarded<Float>(Int(setting.threads) * Int(ALB_QUANTIZE_HEADS_SCRATCH_ROWS) * width, .atEnd)
                let found = quantized {
                    var args = $0
                    alb_quantize_heads_qu8d_f32(
                        setting.isa, setting.threads, heads, factors.start, &args, scratch.start)
                }
                #expect(
                    found.0.firstDifference(from: expected.0) == nil && found.1.firstDifference(from: expected.1) == nil
                        && found.2.firstDifference(from: expected.2) == nil,
                    "\(rows)x\(heads)x\(width), \(setting), seed \(random.seed)")
            }
        }
    }

    @Test("each head's channels become inputs, with their sums, on every variant")
    func transposition() {
        for (heads, width, depth) in [(1, 16, 16), (3, 16, 48), (2, 32, 16), (12, 64, 768), (4, 80, 144)] {
            let channels = heads * width
            let src = Guarded<Int8>(channels * depth, .atEnd)
            for i in 0..<src.count { src.start[i] = Int8(truncatingIfNeeded: (i &* 89 &+ i >> 7) % 255 - 127) }
            var values = [Int8](repeating: 0, count: src.count), sums = [Int32](repeating: 0, count: heads * depth)
            for (head, c, k) in indices(heads, width, depth) {
                let weight = src.start[packedPosition(head * width + c, k, depth: depth)]
                values[packedPosition(head * depth + k, c, depth: width)] = weight
                sums[head * depth + k] += Int32(weight)
            }
            for setting in Setting.all {
                let found = Guarded<Int8>(src.count, .atEnd), scales = Guarded<Float>(heads * depth, .atEnd)
                let foundSums = Guarded<Int32>(heads * depth, .atEnd)
                alb_transpose_heads_int8(
                    setting.isa, setting.threads, heads, channels, depth, src.start, found.start, scales.start,
                    foundSums.start)
                #expect(
                    found.array == values && foundSums.array == sums && scales.array.allSatisfy { $0 == 1 },
                    "\(heads)x\(width)x\(depth), \(setting)")
            }
        }
    }

    @Test("absorbed queries are the formula of the page, and near the float product", arguments: testedISAs)
    func absorbed(isa: ISA) throws {
        var random = TestRandom("absorbed queries")
        let rows = 5, heads = 3, width = 32, depth = 48, channels = heads * width
        let kernels = try Kernels(isa: isa, threads: 2)
        let weights = Array(randomFloats[1000..<1000 + channels * depth])
        let packed = try #require(Kernels.packInt8(weights, channels: channels, depth: depth))
        let arena = Arena(capacity: 1 << 20)
        let all = arena.reserve(Shape(rows, channels + 4)), q = all.columns(2..<channels + 2)
        let numbers = (0..<all.shape.count).map { _ in Float.random(in: -1...1, using: &random) }
        arena.write(numbers.span, to: all)
        let projection = kernels.absorbedProjection(
            of: packed.matrix(channels: channels, depth: depth), heads: heads, in: arena)
        let y = arena.reserve(Shape(heads * rows, depth)), used = arena.used
        kernels.absorb(q, projection, room: 8, to: y, in: arena)
        #expect(arena.used == used)
        let found: [Float] = arena.read(y)
        for (head, row) in (0..<heads).flatMap({ head in (0..<rows).map { (head, $0) } }) {
            let scaled = (0..<width).map {
                numbers[row * (channels + 4) + 2 + head * width + $0] * packed.scales[head * width + $0]
            }
            let low = min(0, scaled.min() ?? 0), high = max(0, scaled.max() ?? 0)
            let inverse = 255 / (high - low), zero = (-low * inverse).rounded(.toNearestOrEven)
            let codes = scaled.map { min(max(($0 * inverse).rounded(.toNearestOrEven) + zero, 0), 255) - zero }
            for k in 0..<depth {
                var sum: Float = 0, exact = 0.0
                for c in 0..<width {
                    let weight = Float(packed.values[packedPosition(head * width + c, k, depth: depth)])
                    sum += codes[c] * weight
                    exact += Double(scaled[c]) * Double(weight)
                }
                let value = found[(head * rows + row) * depth + k]
                #expect(value == sum * ((high - low) / 255), "head \(head), row \(row), input \(k)")
                #expect(abs(Double(value) - exact) < Double(high - low) / 255 * 127 * Double(width).squareRoot())
            }
        }
    }

    @Test("a head's rows meet its channels, with the bytes of a plain product, on every variant", arguments: [false, true])
    func product(apart: Bool) {
        var random = TestRandom("products by heads")
        for (rows, heads, width, depth) in [
            (1, 1, 16, 4), (1, 12, 64, 768), (2, 3, 16, 5), (5, 2, 80, 63), (7, 4, 32, 128), (30, 2, 64, 770), (13, 3, 144, 64),
        ] {
            // Columns side by side, or blocks one after the other.
            let stride = (apart ? width : heads * width) + 1, head = apart ? rows * stride : width
            // Rows of all heads, of which a head uses its own.
            let all = Int8Case(heads * rows, heads * width, depth, index: 0, placement: .atEnd, random: &random)
            let bias = Guarded(random: &random, heads * width, .atEnd)
            func arguments(_ index: Int, _ channels: Int, _ dst: UnsafeMutablePointer<Float>) -> alb_matmul_int8_args {
                alb_matmul_int8_args(
                    m: rows, n: channels, k: all.padded, lhs: all.lhs.start + index * rows * all.padded,
                    lhs_scales: all.lhsScales.start + index * rows, lhs_zero_points: all.lhsZeros.start + index * rows,
                    rhs: all.rhs.start + index * width * all.padded, rhs_scales: all.rhsScales.start + index * width,
                    rhs_sums: all.rhsSums.start + index * width,
                    epilogue: alb_epilogue(
                        bias: bias.start + index * width, activation: ALB_ACTIVATION_NONE, residual: nil, residual_stride: 0),
                    dst: dst, dst_stride: stride)
            }
            let count = (apart ? heads : 1) * rows * stride - 1
            let expected = Guarded<Float>(count, .atEnd)
            expected.fill(byte: 0xa5)
            for index in 0..<heads {
                var args = arguments(index, width, expected.start + index * head)
                alb_matmul_f32_qu8d_qs8c(ALB_ISA_SCALAR, 1, &args)
            }
            for setting in Setting.all {
                let dst = Guarded<Float>(count, .atEnd)
                dst.fill(byte: 0xa5)
                var args = arguments(0, heads * width, dst.start)
                alb_matmul_heads_f32_qu8d_qs8c(setting.isa, setting.threads, heads, head, &args)
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
