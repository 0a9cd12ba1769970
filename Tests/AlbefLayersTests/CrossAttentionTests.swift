import AlbefKernels
import AlbefModelFile
import AlbefTensor
import AlbefTestSupport
import Testing

@testable import AlbefLayers

/// A fusion layer whose heads are whole packed blocks, and a picture in both forms.
private struct Fusion {
    let layer: EncoderLayer
    let attention: CrossAttention
    let bench: Bench
    let width: Int
    let sourceWidth: Int
    let imageTokens: Int
    let projected: CrossSource
    let absorbed: CrossSource

    static func with(_ precision: Precision = .int8, _ body: (Fusion) throws -> Void) throws {
        var tiny = TinyModel.wide
        tiny.precision = precision
        try tiny.withFile { path in
            let file = try ModelFile(path: path)
            let c = file.configuration
            let layer = try EncoderLayer(
                file, "text_encoder.encoder.layer.2", width: c.textWidth, heads: c.textHeads,
                source: EncoderLayer.Source(width: c.visionWidth, arithmetic: precision == .int8 ? .int8 : .float32))
            try body(Fusion(layer, #require(layer.crossAttention), c, Bench()))
        }
    }

    private init(_ layer: EncoderLayer, _ attention: CrossAttention, _ c: ModelConfiguration, _ bench: Bench) {
        (self.layer, self.attention, self.bench) = (layer, attention, bench)
        (width, sourceWidth, imageTokens) = (c.textWidth, c.visionWidth, c.imageTokens)
        let image = bench.rows(c.imageTokens, c.visionWidth, seed: 3)
        let shared = SharedRows(image, quantizing: attention.quantizesSource, in: bench.work)
        projected = .projected(attention.keysValues(shared, in: bench.work))
        absorbed = .absorbed(bench.kernels.quantizeKeysValues(image, image, heads: 1, in: bench.work.arena))
    }

    func attend(_ x: TensorView, _ parts: [(rows: Range<Int>, source: CrossSource)]) -> [Float] {
        let y = bench.work.reserve(x.shape)
        attention(x, parts: parts.map { CrossPart(rows: $0.rows, source: $0.source) }, to: y, in: bench.work)
        return bench.read(y)
    }
}

@Suite("Cross-attention to a picture")
struct CrossAttentionTests {
    @Test("the form with fewer products is taken, by lengths and the file alone")
    func form() throws {
        try Fusion.with { fusion in
            // 2·2·T·10·48 + 2·T·48·64 < 2·10·48·64 + 2·T·10·64, so T < 9.06
            for tokens in 1...30 {
                #expect(fusion.attention.absorbs(tokens: tokens, sourceTokens: 10) == (tokens <= 9), "\(tokens) tokens")
            }
            #expect(!fusion.attention.absorbs(tokens: 9, sourceTokens: 9))
        }
        try Fusion.with(.float32) { #expect(!$0.attention.absorbs(tokens: 1, sourceTokens: 10)) }
        try TinyModel().withFile { path in
            let file = try ModelFile(path: path)
            let attention = try CrossAttention(
                file, "text_encoder.encoder.layer.2.crossattention", width: 40, sourceWidth: 36, heads: 2, arithmetic: .int8)
            // Heads of 20 channels are no whole blocks.
            #expect(!attention.absorbs(tokens: 1, sourceTokens: 10))
        }
        var narrow = TinyModel.wide
        narrow.configuration.visionWidth = 36
        try narrow.withFile { path in
            let file = try ModelFile(path: path)
            let attention = try CrossAttention(
                file, "text_encoder.encoder.layer.2.crossattention", width: 64, sourceWidth: 36, heads: 2, arithmetic: .int8)
            // Nor are tokens of 36 columns.
            #expect(!attention.absorbs(tokens: 1, sourceTokens: 10))
        }
    }

    @Test("both forms are the same attention up to their rounding")
    func forms() throws {
        try Fusion.with { fusion in
            let x = fusion.bench.rows(9, fusion.width, seed: 8)
            let one = fusion.attend(x, [(0..<9, fusion.projected)]), other = fusion.attend(x, [(0..<9, fusion.absorbed)])
            let comparison = Kernels.compare(one, other)
            #expect(comparison.cosine > 0.9999 && comparison.maximumAbsoluteDifference > 0, "\(comparison)")
        }
    }

    @Test("rows have the same bytes alone, among neighbours and beside the other form")
    func rows() throws {
        try Fusion.with { fusion in
            let bench = fusion.bench
            let x = bench.rows(80, fusion.width, seed: 9)
            // Texts of which some look at a picture of their own and some take the other form.
            let image = bench.rows(fusion.imageTokens, fusion.sourceWidth, seed: 4)
            let other = CrossSource.absorbed(bench.kernels.quantizeKeysValues(image, image, heads: 1, in: bench.work.arena))
            let cuts = [0, 9, 18, 20, 27, 36, 45, 54, 63, 66, 75, 80]
            let forms = [fusion.absorbed, fusion.absorbed, fusion.absorbed, other, fusion.projected]
            let parts = zip(cuts, cuts.dropFirst()).enumerated().map { index, cut in
                (rows: cut.0..<cut.1, source: forms[index % forms.count])
            }
            let together = fusion.attend(x, parts)
            for part in parts {
                for row in part.rows {
                    let alone = fusion.attend(x.rows(row..<row + 1), [(0..<1, part.source)])
                    #expect(alone == Array(together[row * fusion.width..<(row + 1) * fusion.width]), "row \(row)")
                }
            }
            let alike = fusion.attend(x, cuts.dropLast().enumerated().map { ($1..<cuts[$0 + 1], fusion.absorbed) })
            for row in 0..<80 {
                let alone = fusion.attend(x.rows(row..<row + 1), [(0..<1, fusion.absorbed)])
                #expect(alone == Array(alike[row * fusion.width..<(row + 1) * fusion.width]), "row \(row) of one picture")
            }
        }
    }

    @Test("one text at each of several pictures has the bytes that it has at each alone")
    func eachSource() throws {
        try Fusion.with { fusion in
            let bench = fusion.bench
            let image = bench.rows(fusion.imageTokens, fusion.sourceWidth, seed: 4)
            let other = CrossSource.absorbed(bench.kernels.quantizeKeysValues(image, image, heads: 1, in: bench.work.arena))
            let sources = [fusion.absorbed, fusion.projected, other, fusion.absorbed]
            for tokens in [1, 5, 9] {
                let x = bench.rows(tokens, fusion.width, seed: 6)
                let all = bench.work.reserve(Shape(sources.count * tokens, fusion.width))
                fusion.attention(x, each: sources, to: all, in: bench.work)
                let layered = bench.work.reserve(all.shape), alone = bench.work.reserve(x.shape)
                fusion.layer(x, sequence: [0..<tokens], lookingAtEachOf: sources, to: layered, in: bench.work)
                for (index, source) in sources.enumerated() {
                    let rows = index * tokens..<(index + 1) * tokens
                    #expect(bench.read(all.rows(rows)) == fusion.attend(x, [(0..<tokens, source)]), "source \(index)")
                    fusion.layer(x, sequences: [0..<tokens], sources: [source], to: alone, in: bench.work)
                    #expect(bench.read(layered.rows(rows)) == bench.read(alone), "layer, source \(index)")
                }
            }
        }
    }

    @Test("first rows alone have the bytes that they have among all rows", arguments: Precision.allCases)
    func firstRows(precision: Precision) throws {
        try Fusion.with(precision) { fusion in
            let bench = fusion.bench
            let sequences = [0..<4, 4..<5, 5..<18]
            let forms = precision == .int8 ? [fusion.absorbed, fusion.projected] : [fusion.projected]
            for form in forms {
                let sources = [form, form, fusion.projected]
                let x = bench.rows(18, fusion.width, seed: 5)
                let all = bench.work.reserve(x.shape), firsts = bench.work.reserve(Shape(3, fusion.width))
                fusion.layer(x, sequences: sequences, sources: sources, to: all, in: bench.work)
                fusion.layer.firstRows(x, sequences: sequences, sources: sources, to: firsts, in: bench.work)
                for (index, rows) in sequences.enumerated() {
                    let expected = bench.read(all.rows(rows.lowerBound..<rows.lowerBound + 1))
                    #expect(bench.read(firsts.rows(index..<index + 1)) == expected, "text \(index)")
                }
            }
        }
    }

    @Test("recording the absorbed form for the gradient changes no byte, and keeps float probabilities")
    func recording() throws {
        try Fusion.with { fusion in
            let bench = fusion.bench
            guard case .projected(let keysValues) = fusion.projected else { return }
            let x = bench.rows(7, fusion.width, seed: 6)
            let plain = bench.work.reserve(x.shape), recorded = bench.work.reserve(x.shape)
            fusion.layer(x, sequences: [0..<7], sources: [fusion.absorbed], to: plain, in: bench.work)
            let record = fusion.layer.reserveRecord(tokens: 7, source: keysValues, in: bench.work)
            fusion.layer(x, sequences: [0..<7], sources: [fusion.absorbed], record: record, to: recorded, in: bench.work)
            #expect(bench.read(plain) == bench.read(recorded))
            let probabilities = try bench.read(#require(record.crossAttention).probabilities)
            for row in 0..<2 * 7 {
                let sum = probabilities[row * fusion.imageTokens..<(row + 1) * fusion.imageTokens].reduce(0, +)
                #expect(abs(sum - 1) < 1e-5)
            }
        }
    }

    @Test("the gradient of the first row alone is that of all rows whose others are zero", arguments: Precision.allCases)
    func firstGradient(precision: Precision) throws {
        try Fusion.with(precision) { fusion in
            let bench = fusion.bench, work = bench.work
            guard case .projected(let keysValues) = fusion.projected else { return }
            let source = precision == .int8 ? fusion.absorbed : fusion.projected
            let x = bench.rows(6, fusion.width, seed: 12), first = bench.rows(1, fusion.width, seed: 13)
            let y = work.reserve(x.shape), found = work.reserve(x.shape), expected = work.reserve(x.shape)
            work.arena.write([Float](repeating: 0, count: x.shape.count).span, to: expected)
            work.arena.copy(first, to: expected.rows(0..<1))
            let all = fusion.layer.reserveRecord(tokens: 6, source: keysValues, in: work)
            fusion.layer(x, sequences: [0..<6], sources: [source], record: all, to: y, in: work)
            fusion.layer.backward(expected, all, to: expected, in: work)

            let record = fusion.layer.reserveRecord(tokens: 6, rows: 1, source: keysValues, in: work)
            fusion.layer.firstRows(x, sequences: [0..<6], sources: [source], record: record, to: y.rows(0..<1), in: work)
            work.arena.copy(first, to: found.rows(0..<1))
            fusion.layer.backward(found.rows(0..<1), record, to: found, in: work)
            #expect(bench.read(found) == bench.read(expected))
            #expect(bench.read(found).contains { $0 != 0 })
        }
    }
}
