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

@Suite("Attention to tokens themselves")
struct AbsorbedAttentionTests {
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

    @Test("projections, attention and quantisations in one are the same one after another, for every row of every group")
    func attention() throws {
        var random = TestRandom("absorbed attention")
        let shapes: [(heads: Int, width: Int, depth: Int, tokens: [Int], rows: [Int])] = [
            (1, 16, 16, [1], [1]), (3, 32, 48, [65, 7], [7, 1]),
            (2, 64, 16, [17, 17, 33], [2, 13, 26]), (12, 64, 768, [577], [30]), (12, 64, 96, [40, 577], [1, 1]),
        ]
        for (shape, shared) in shapes.flatMap({ [($0, false), ($0, true)] }) {
            let call = AbsorbedCase(
                heads: shape.heads, width: shape.width, depth: shape.depth, tokens: shape.tokens, rows: shape.rows,
                shared: shared, random: &random)
            let expected = call.stepByStep()
            for setting in Setting.all {
                #expect(
                    call.run(setting).firstDifference(from: expected) == nil,
                    "\(shape), shared queries: \(shared), \(setting), seed \(random.seed)")
            }
        }
    }

    @Test("tokens from outside of an arena are quantised as keys and values that are both these", arguments: testedISAs)
    func outside(isa: ISA) throws {
        let tokens = 35, width = 48, numbers = Array(randomFloats[300..<300 + tokens * width])
        let kernels = try Kernels(isa: isa, threads: 2), arena = Arena(capacity: 1 << 20)
        let inside = arena.reserve(Shape(tokens, width)), q = arena.reserve(Shape(5, width))
        let expected = arena.reserve(q.shape), found = arena.reserve(q.shape)
        arena.write(numbers.span, to: inside)
        arena.write(Array(randomFloats[9..<9 + 5 * width]).span, to: q)
        let there = kernels.quantizeKeysValues(inside, inside, heads: 1, in: arena)
        let here = kernels.quantizeTokens(numbers.span, width: width, in: arena)
        #expect(here.tokens == tokens && here.width == width && here.heads == 1)
        kernels.attention(q, there, heads: 1, to: expected, in: arena)
        kernels.attention(q, here, heads: 1, to: found, in: arena)
        #expect(arena.read(found, as: Float.self) == arena.read(expected, as: Float.self))
    }

    @Test("texts at pictures have the bytes of each pair alone, in the memory that a planning arena counts", arguments: testedISAs)
    func face(isa: ISA) throws {
        let heads = 2, width = 16, depth = 32, channels = heads * width
        let weights = Array(randomFloats[700..<700 + channels * depth])
        let packed = try #require(Kernels.packInt8(weights, channels: channels, depth: depth))
        let matrix = packed.matrix(channels: channels, depth: depth)
        let bias = ConstantTensor(Array(randomFloats[60..<60 + channels]), shape: Shape(channels))
        let pictures = [Array(randomFloats[0..<9 * depth]), Array(randomFloats[400..<400 + 21 * depth])]
        func pass(_ kernels: Kernels, _ pairs: [(queries: Range<Int>, picture: Int)], in arena: Arena) -> [Float] {
            let q = arena.reserve(Shape(7, channels)), y = arena.reserve(Shape(12, channels))
            arena.write(Array(randomFloats[40..<40 + 7 * channels]).span, to: q)
            arena.clear(y)
            var groups: ArenaList<AbsorbedGroup> = arena.list(capacity: pairs.count), row = 0
            for pair in pairs {
                let picture = pictures[pair.picture]
                let tokens = kernels.quantizeTokens(picture.span, width: depth, in: arena)
                groups.append(
                    AbsorbedGroup(query: pair.queries.lowerBound, row: row, rows: pair.queries.count, tokens: tokens))
                row += pair.queries.count
            }
            kernels.absorbedAttention(
                q, kernels.absorbedProjection(of: matrix, heads: heads, in: arena), values: matrix, bias: bias,
                groups: groups, to: y, in: arena)
            return Array((arena.read(y) as [Float]).prefix(row * channels))
        }
        let pairs = [(queries: 0..<5, picture: 0), (5..<7, 1), (0..<5, 1)]
        for threads in [1, 2, 5] {
            let kernels = try Kernels(isa: isa, threads: threads), plan = Arena.planning()
            _ = pass(kernels, pairs, in: plan)
            let arena = Arena(capacity: plan.peak), found = pass(kernels, pairs, in: arena)
            #expect(arena.peak == plan.peak)
            let alone = pairs.flatMap { pass(kernels, [$0], in: Arena(capacity: 1 << 20)) }
            #expect(found == alone && found.contains { $0 != 0 })
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
