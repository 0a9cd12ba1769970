import CAlbefKernels
import Foundation
import Testing

private let reference = Setting(isa: ALB_ISA_SCALAR, threads: 1)

@Suite("Float attention")
struct AttentionTests {
    @Test("every variant and thread count gives the scalar bytes", arguments: AttentionShapes.widths)
    func variants(width: Int) {
        var random = TestRandom("float attention \(width)")
        var index = 0
        for queries in AttentionShapes.queries {
            for keys in AttentionShapes.keys {
                for heads in AttentionShapes.heads {
                    index += 1
                    let attention = AttentionCase(
                        queries: queries, keys: keys, heads: heads, width: width,
                        placement: index % 2 == 0 ? .atStart : .atEnd, random: &random)
                    let causal = index % 3 == 0
                    let maps = Guarded<Float>(heads * queries * keys, .atEnd)
                    let expected = attention.float(reference, causal: causal, probabilities: maps)
                    for setting in Setting.all {
                        let found = Guarded<Float>(heads * queries * keys, .atEnd)
                        let y = attention.float(setting, causal: causal, probabilities: found)
                        #expect(y.firstDifference(from: expected) == nil, "\(attention), \(setting), seed \(random.seed)")
                        #expect(
                            found.firstDifference(from: maps) == nil,
                            "probabilities of \(attention), \(setting), seed \(random.seed)")
                    }
                }
            }
        }
    }

    @Test("more queries than one block, and strides that are no multiple of anything", arguments: Setting.all)
    func manyQueries(setting: Setting) {
        var random = TestRandom("many queries")
        let attention = AttentionCase(queries: 77, keys: 67, heads: 3, width: 20, random: &random)
        #expect(attention.float(setting).firstDifference(from: attention.float(reference)) == nil)
        #expect(
            attention.float(setting, causal: true, offset: 2)
                .firstDifference(from: attention.float(reference, causal: true, offset: 2)) == nil)
    }

    @Test(
        "the scalar form stays within its bound of double precision",
        arguments: [(1, 1, 1, 1), (3, 5, 2, 4), (7, 17, 2, 33), (2, 65, 4, 64), (30, 30, 2, 32), (2, 577, 1, 64)])
    func doublePrecision(queries: Int, keys: Int, heads: Int, width: Int) {
        var random = TestRandom("float attention reference \(keys)")
        let attention = AttentionCase(queries: queries, keys: keys, heads: heads, width: width, random: &random)
        let maps = Guarded<Float>(heads * queries * keys, .atEnd)
        let y = attention.float(reference, probabilities: maps)
        for t in 0..<queries {
            for head in 0..<heads {
                let expected = attention.doubles(t, head, visible: keys)
                for c in 0..<width {
                    let found = Double(y.start[t * attention.columns + head * width + c])
                    #expect(
                        abs(found - expected.y[c]) <= expected.bounds[c],
                        "(\(t), \(head), \(c)) of \(attention), seed \(random.seed)")
                }
                let row = (0..<keys).map { Double(maps.start[(head * queries + t) * keys + $0]) }
                #expect(zip(row, expected.p).allSatisfy { abs($0 - $1) < 1e-5 })
                #expect(abs(row.reduce(0, +) - 1) < 1e-5)
            }
        }
    }

    @Test("asking for probabilities changes no byte of the result", arguments: Setting.instructionSets)
    func probabilities(isa: alb_isa) {
        var random = TestRandom("probabilities")
        let setting = Setting(isa: isa, threads: 2)
        for causal in [false, true] {
            let attention = AttentionCase(queries: 30, keys: 30, heads: 4, width: 32, random: &random)
            let maps = Guarded<Float>(4 * 30 * 30, .atEnd)
            maps.fill(byte: 0xa5)
            let with = attention.float(setting, causal: causal, probabilities: maps)
            #expect(with.firstDifference(from: attention.float(setting, causal: causal)) == nil)
            if causal {
                for t in 0..<30 {
                    for j in t + 1..<30 { #expect(maps.start[(3 * 30 + t) * 30 + j].bitPattern == 0) }
                }
            }
        }
    }

    @Test("a query alone has the bytes that it has among others", arguments: Setting.instructionSets)
    func alone(isa: alb_isa) {
        var random = TestRandom("alone")
        let setting = Setting(isa: isa, threads: 1)
        let attention = AttentionCase(queries: 30, keys: 65, heads: 4, width: 33, random: &random)
        let all = attention.float(setting).array
        for t in [0, 1, 7, 8, 23, 24, 29] {
            let one = attention.float(setting, queries: t..<t + 1).array
            #expect(one.map(\.bitPattern) == all[t * 132..<(t + 1) * 132].map(\.bitPattern), "query \(t)")
        }
    }

    @Test("later causal queries continue a shared prefix, and masked keys take no part", arguments: Setting.instructionSets)
    func causalOffset(isa: alb_isa) {
        var random = TestRandom("causal offset")
        let setting = Setting(isa: isa, threads: 3)
        let attention = AttentionCase(queries: 30, keys: 30, heads: 2, width: 32, random: &random)
        let whole = attention.float(setting, causal: true).array.map(\.bitPattern)
        for offset in [0, 1, 5, 16, 29] {
            let tail = attention.float(setting, queries: offset..<30, causal: true, offset: offset)
            #expect(tail.array.map(\.bitPattern) == Array(whole[(offset * 64)...]), "offset \(offset)")
            let last = attention.float(setting, queries: offset..<offset + 1, keys: offset + 1)
            #expect(last.array.map(\.bitPattern) == Array(whole[offset * 64..<(offset + 1) * 64]), "prefix \(offset)")
        }
        // A query far behind the keys sees them all.
        let behind = attention.float(setting, keys: 5, causal: true, offset: .max)
        #expect(behind.firstDifference(from: attention.float(setting, keys: 5)) == nil)
    }

    @Test("constant, zero and extreme rows give the scalar bytes and finite results", arguments: [0, 0x1p-140, 0x1p-66, 1, 0x1p60] as [Float])
    func extremes(magnitude: Float) {
        var random = TestRandom("extremes")
        let attention = AttentionCase(queries: 7, keys: 17, heads: 2, width: 33, random: &random)
        for i in 0..<attention.q.count { attention.q.start[i] = i / attention.stride == 1 ? magnitude : attention.q.start[i] * magnitude }
        for i in 0..<attention.k.count { attention.k.start[i] *= magnitude }
        let expected = attention.float(reference)
        #expect(expected.array.allSatisfy { $0.isFinite })
        for setting in Setting.all { #expect(attention.float(setting).firstDifference(from: expected) == nil, "\(setting)") }
        if magnitude == 0 {
            // Equal scores: the mean of the values.
            let mean = (0..<17).reduce(0) { $0 + attention.v($1, 0, 0) } / 17
            #expect(abs(Double(expected.start[0]) - mean) < 1e-6)
        }
    }

    @Test("the scale is one over the root of a head's width")
    func scale() {
        #expect(alb_attention_scale(64) == 0.125)
        #expect(alb_attention_scale(1) == 1)
        #expect(alb_attention_scale(32) == 1 / Float(32).squareRoot())
    }
}
