import CAlbefKernels
import Foundation
import Testing

private let reference = Setting(isa: ALB_ISA_SCALAR, threads: 1)

@Suite("Int8 attention")
struct QuantizedAttentionTests {
    @Test("every variant and thread count gives the scalar bytes", arguments: AttentionShapes.widths)
    func variants(width: Int) {
        var random = TestRandom("int8 attention \(width)")
        var index = 0
        for queries in AttentionShapes.queries {
            for keys in AttentionShapes.keys {
                for heads in AttentionShapes.heads {
                    index += 1
                    let attention = AttentionCase(
                        queries: queries, keys: keys, heads: heads, width: width,
                        placement: index % 2 == 0 ? .atStart : .atEnd, random: &random)
                    let kv = attention.quantized(reference)
                    let expected = attention.int8(reference, kv)
                    for setting in Setting.all {
                        #expect(
                            attention.quantized(setting).isEqual(to: kv),
                            "keys and values of \(attention), \(setting), seed \(random.seed)")
                        #expect(
                            attention.int8(setting, kv).firstDifference(from: expected) == nil,
                            "\(attention), \(setting), seed \(random.seed)")
                    }
                }
            }
        }
    }

    @Test("more queries than one block give the scalar bytes", arguments: [23, 24, 25, 77])
    func manyQueries(queries: Int) {
        var random = TestRandom("many int8 queries")
        let attention = AttentionCase(queries: queries, keys: 67, heads: 3, width: 70, random: &random)
        let kv = attention.quantized(reference)
        let expected = attention.int8(reference, kv)
        for setting in Setting.all {
            #expect(attention.int8(setting, kv).firstDifference(from: expected) == nil, "\(setting)")
        }
    }

    @Test("keys and values are rounded as written, in their places, with zeros around", arguments: [(5, 4), (17, 33), (65, 7)])
    func quantization(tokens: Int, width: Int) {
        var random = TestRandom("quantised keys \(tokens)")
        let attention = AttentionCase(queries: 1, keys: tokens, heads: 2, width: width, random: &random)
        for c in 0..<width { attention.k.start[3 * attention.stride + c] = 0 }  // a key of zeros
        for j in 0..<tokens { attention.v.start[j * attention.stride + 1] = 0x1p-101 }  // a channel too small to count
        let kv = attention.quantized(reference)
        func rounded(_ x: [Float]) -> (scale: Float, q: [Int]) {
            let top = x.map(abs).max() ?? 0
            if top < 0x1p-100 { return (0, x.map { _ in 0 }) }
            return (top / 127, x.map { min(127, max(-127, Int(($0 * (127 / top)).rounded(.toNearestOrEven)))) })
        }
        for head in 0..<2 {
            for token in 0..<kv.lanes {
                let inside = token < tokens
                let x = inside ? (0..<width).map { Float(attention.k(token, head, $0)) } : []
                let (scale, q) = rounded(x)
                #expect(kv.keyScales.start[head * kv.lanes + token].bitPattern == scale.bitPattern)
                #expect(kv.keySums.start[head * kv.lanes + token] == Int32(q.reduce(0, +)))
                for c in 0..<paddedDepth(width) { #expect(kv.key(head, token, c) == (inside && c < width ? q[c] : 0)) }
            }
            for c in 0..<kv.channels {
                let inside = c < width
                let x = inside ? (0..<tokens).map { Float(attention.v($0, head, c)) } : []
                let (scale, q) = rounded(x)
                #expect(kv.valueScales.start[head * kv.channels + c].bitPattern == scale.bitPattern)
                for token in 0..<paddedDepth(tokens) {
                    #expect(kv.value(head, token, c) == (inside && token < tokens ? q[token] : 0))
                }
            }
        }
    }

    /// The quantised attention, recomputed with exact integers, double-precision floats and the exponential itself, from which
    /// the cubic is off by up to 7.6e-5. A probability whose 255th lies within that and 1e-3 of a half may round either way; each
    /// of those widens the bound by what one step of it can do.
    @Test(
        "the scalar form is the quantised attention",
        arguments: [(1, 1, 1, 1), (3, 5, 2, 4), (7, 17, 2, 33), (2, 65, 4, 64), (2, 577, 1, 64)])
    func definition(queries: Int, keys: Int, heads: Int, width: Int) {
        var random = TestRandom("int8 definition \(keys)")
        let attention = AttentionCase(queries: queries, keys: keys, heads: heads, width: width, random: &random)
        let kv = attention.quantized(reference)
        let y = attention.int8(reference, kv)
        for t in 0..<queries {
            for head in 0..<heads {
                let x = (0..<width).map { Float(attention.q(t, head, $0)) }
                let low = min(0, x.min()!), range = max(0, x.max()!) - low
                let zero = range == 0 ? 0 : Int((-low * (255 / range)).rounded(.toNearestOrEven))
                let q = x.map { range == 0 ? 0 : min(255, max(0, Int(($0 * (255 / range)).rounded(.toNearestOrEven)) + zero)) }
                let scores = (0..<keys).map { j in
                    let sum = (0..<width).reduce(0) { $0 + (q[$1] - zero) * kv.key(head, j, $1) }
                    return Double(sum) * Double(range / 255) * Double(kv.keyScales.start[head * kv.lanes + j])
                        / Double(width).squareRoot()
                }
                let maximum = scores.max()!
                let e = scores.map { 255 * exp($0 - maximum) }
                let p = e.map { $0.rounded(.toNearestOrEven) }
                let doubtful = Double(e.count { abs($0 - $0.rounded(.down) - 0.5) < 1e-3 + 7.6e-5 * $0 })
                let total = p.reduce(0, +)
                for c in 0..<width {
                    let scale = Double(kv.valueScales.start[head * kv.channels + c])
                    let values = (0..<keys).map { Double(kv.value(head, $0, c)) * scale }
                    let expected = zip(p, values).reduce(0) { $0 + $1.0 * $1.1 } / total
                    let bound = doubtful * 2 * (values.map(abs).max() ?? 0) / (total - doubtful) + 1e-6 * abs(expected) + 1e-37
                    let found = Double(y.start[t * attention.columns + head * width + c])
                    #expect(abs(found - expected) <= bound, "(\(t), \(head), \(c)) of \(attention), seed \(random.seed)")
                }
            }
        }
    }

    /// Against attention in double precision. A query is off by at most its scale, a key by half its scale, so a score by
    /// δ = Σ (|q| sk/2 + |k| sq + sq sk/2) / √d, which moves probabilities by factors within exp(±2δ). Rounding P to 255ths
    /// moves each weight by 1/510 of the greatest, and a value is off by half its scale.
    @Test("quantisation costs no more than its steps", arguments: [(3, 17, 2, 32), (5, 65, 2, 64), (2, 577, 1, 64)])
    func accuracy(queries: Int, keys: Int, heads: Int, width: Int) {
        var random = TestRandom("int8 accuracy \(keys)")
        let attention = AttentionCase(queries: queries, keys: keys, heads: heads, width: width, random: &random)
        let kv = attention.quantized(reference)
        let y = attention.int8(reference, kv)
        for t in 0..<queries {
            for head in 0..<heads {
                let exact = attention.doubles(t, head, visible: keys)
                let x = (0..<width).map { attention.q(t, head, $0) }
                let sq = (max(0, x.max()!) - min(0, x.min()!)) / 255
                let delta = (0..<keys).map { j in
                    let sk = Double(kv.keyScales.start[head * kv.lanes + j])
                    return (0..<width).reduce(0) {
                        $0 + abs(x[$1]) * sk / 2 + abs(attention.k(j, head, $1)) * sq + sq * sk / 2
                    } / Double(width).squareRoot()
                }.max()!
                let weights = 1 / exact.p.max()! * exp(-2 * delta)  // a lower bound on the sum of exp(x - max)
                let steps = Double(keys) / 510
                for c in 0..<width {
                    let values = (0..<keys).map { attention.v($0, head, c) }
                    let spread = values.max()! - values.min()!
                    let moved = min(
                        spread, (exp(2 * delta) - 1) * zip(exact.p, values).reduce(0) { $0 + $1.0 * abs($1.1) })
                    let rounded = min(spread, steps / max(1, weights - steps) * spread)
                    let bound = moved + rounded + Double(kv.valueScales.start[head * kv.channels + c]) / 2 + 1e-5
                    let found = Double(y.start[t * attention.columns + head * width + c])
                    #expect(abs(found - exact.y[c]) <= bound, "(\(t), \(head), \(c)) of \(attention), seed \(random.seed)")
                }
            }
        }
    }

    @Test("a query alone has the bytes that it has among others", arguments: Setting.instructionSets)
    func alone(isa: alb_isa) {
        var random = TestRandom("alone, int8")
        let setting = Setting(isa: isa, threads: 1)
        let attention = AttentionCase(queries: 30, keys: 65, heads: 4, width: 32, random: &random)
        let kv = attention.quantized(setting)
        let all = attention.int8(setting, kv).array
        for t in [0, 1, 5, 6, 23, 24, 29] {
            let one = attention.int8(setting, kv, queries: t..<t + 1).array
            #expect(one.map(\.bitPattern) == all[t * 128..<(t + 1) * 128].map(\.bitPattern), "query \(t)")
        }
    }

    @Test("constant, zero and extreme rows give the scalar bytes and finite results", arguments: [0, 0x1p-140, 0x1p-66, 1, 0x1p60] as [Float])
    func extremes(magnitude: Float) {
        var random = TestRandom("int8 extremes")
        let attention = AttentionCase(queries: 7, keys: 17, heads: 2, width: 33, random: &random)
        for i in 0..<attention.q.count { attention.q.start[i] = i / attention.stride == 1 ? -magnitude : attention.q.start[i] * magnitude }
        for i in 0..<attention.k.count { attention.k.start[i] *= magnitude }
        for i in 0..<attention.v.count { attention.v.start[i] *= magnitude }
        let kv = attention.quantized(reference)
        let expected = attention.int8(reference, kv)
        #expect(expected.array.allSatisfy { $0.isFinite })
        for setting in Setting.all {
            #expect(attention.quantized(setting).isEqual(to: kv), "\(setting)")
            #expect(attention.int8(setting, kv).firstDifference(from: expected) == nil, "\(setting)")
        }
    }

    @Test("products of full bytes do not saturate", arguments: Setting.instructionSets)
    func saturation(isa: alb_isa) {
        var random = TestRandom("saturation")
        let attention = AttentionCase(queries: 2, keys: 577, heads: 1, width: 64, random: &random)
        // Every query byte is 255 and every key and value byte +-127: pairs would pass 16 bits.
        for i in 0..<attention.q.count { attention.q.start[i] = 255 }
        for i in 0..<attention.k.count {
            attention.k.start[i] = i / attention.stride % 2 == 0 ? 0x1p-20 : -0x1p-20
            attention.v.start[i] = 127
        }
        let setting = Setting(isa: isa, threads: 1)
        let y = attention.int8(setting, attention.quantized(setting))
        #expect(y.array.allSatisfy { abs($0 - 127) < 1e-4 })
    }
}
