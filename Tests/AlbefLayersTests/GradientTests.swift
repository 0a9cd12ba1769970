import AlbefKernels
import AlbefModelFile
import AlbefTensor
import AlbefTestSupport
import Testing

@testable import AlbefLayers

/// How a gradient is compared: along one random direction, by central differences of the float forward pass.
private struct Slope {
    static let step: Float = 1.0 / 128
    let measured: Double
    let computed: Double
    /// The differences' own error is about 1e-4 of the score; a wrong term is off by far more.
    var agrees: Bool { abs(computed - measured) < 5e-3 * max(1, abs(measured)) }
}

private func dot(_ a: [Float], _ b: [Float]) -> Double { zip(a, b).reduce(0) { $0 + Double($1.0) * Double($1.1) } }

/// - Parameters:
///   - score: Of an input.
///   - gradient: At the first elements of `start`, those that move.
private func slope(
    at start: [Float], seed: UInt64, score: ([Float]) -> Double, gradient: () -> [Float]
) -> Slope {
    let computed = gradient()
    var numbers = RandomNumbers(seed: seed)
    let direction = numbers.array(computed.count)
    func moved(_ step: Float) -> Double {
        var x = start
        for index in direction.indices { x[index] += step * direction[index] }
        return score(x)
    }
    return Slope(
        measured: (moved(Slope.step) - moved(-Slope.step)) / Double(2 * Slope.step), computed: dot(computed, direction))
}

@Suite("Gradients of layers")
struct GradientTests {
    private func withBlock(_ precision: Precision, _ body: (VisionBlock, ModelFile, Bench) throws -> Void) throws {
        var tiny = TinyModel()
        tiny.precision = precision
        try tiny.withFile { path in
            let file = try ModelFile(path: path)
            let c = file.configuration
            let block = try VisionBlock(
                file, "visual_encoder.blocks.1", width: c.visionWidth, heads: c.visionHeads,
                arithmetic: precision == .int8 ? .int8 : .float32)
            try body(block, file, Bench())
        }
    }

    /// The score looks at the first `rows` rows of the output; the first `wanted` rows of the input move.
    @Test(
        "a vision block's gradient agrees with differences, for all rows and for some",
        arguments: [(10, 10), (10, 1), (1, 10), (1, 1), (4, 7)])
    func visionBlock(rows: Int, wanted: Int) throws {
        try withBlock(.float32) { block, file, bench in
            let width = file.configuration.visionWidth, work = bench.work
            var numbers = RandomNumbers(seed: UInt64(rows * 16 + wanted))
            let start = numbers.array(10 * width), weights = numbers.array(rows * width)
            let x = work.reserve(Shape(10, width)), y = work.reserve(Shape(10, width))
            let found = slope(
                at: start, seed: 5,
                score: { point in
                    work.arena.write(point.span, to: x)
                    block(x, to: y, in: work)
                    return dot(bench.read(y.rows(0..<rows)), weights)
                },
                gradient: {
                    work.arena.write(start.span, to: x)
                    let record = block.record(x, rows: rows, in: work)
                    let g = work.reserve(Shape(rows, width))
                    work.arena.write(weights.span, to: g)
                    let gradient = rows == wanted ? g : work.reserve(Shape(wanted, width))
                    block.backward(g, record, to: gradient, in: work)
                    return bench.read(gradient)
                })
            #expect(found.agrees, "\(found)")
        }
    }

    @Test("a vision block that is run again for some rows has the bytes of the whole pass", arguments: Precision.allCases)
    func rows(precision: Precision) throws {
        try withBlock(precision) { block, file, bench in
            let work = bench.work
            let x = bench.rows(10, file.configuration.visionWidth, seed: 9)
            let whole = block.record(x, rows: 10, in: work)
            for rows in [1, 4] {
                let part = block.record(x, rows: rows, in: work)
                #expect(bench.read(part.joint) == bench.read(whole.joint))
                #expect(bench.read(part.preactivation) == bench.read(whole.preactivation.rows(0..<rows)))
                let norms = (part.secondNorm, whole.secondNorm.first(rows))
                #expect(bench.read(norms.0.normalized) == bench.read(norms.1.normalized))
                #expect(bench.read(norms.0.reciprocals) == bench.read(norms.1.reciprocals))
            }
            let y = work.reserve(x.shape)
            block(x, to: y, in: work)
            block(x, to: x, in: work)
            #expect(bench.read(x) == bench.read(y), "in place")
        }
    }

    @Test("a decoder layer's gradients at its text and at its source agree with differences", arguments: [true, false])
    func decoderLayer(atSource: Bool) throws {
        var tiny = TinyModel()
        tiny.precision = .float32
        try tiny.withFile { path in
            let file = try ModelFile(path: path)
            let c = file.configuration, bench = try Bench(), work = bench.work
            let layer = try EncoderLayer(
                file, "text_decoder.encoder.layer.1", width: c.textWidth, heads: c.textHeads, causal: true,
                source: EncoderLayer.Source(width: c.textWidth, arithmetic: .float32))
            var numbers = RandomNumbers(seed: 33)
            let text = numbers.array(5 * c.textWidth), states = numbers.array(7 * c.textWidth)
            let weights = numbers.array(5 * c.textWidth)
            let x = work.reserve(Shape(5, c.textWidth)), source = work.reserve(Shape(7, c.textWidth))
            let y = work.reserve(x.shape)
            func place(_ point: [Float]) -> KeysValues? {
                work.arena.write((atSource ? text : point).span, to: x)
                work.arena.write((atSource ? point : states).span, to: source)
                return layer.crossAttention?.keysValues(SharedRows(source, quantizing: false, in: work), in: work)
            }
            let found = slope(
                at: atSource ? states : text, seed: 6,
                score: { point in
                    work.arena.scoped {
                        layer(x, sequences: [0..<5], sources: repeated(place(point)), to: y, in: work)
                        return dot(bench.read(y), weights)
                    }
                },
                gradient: {
                    let keysValues = place(atSource ? states : text)
                    let record = layer.reserveRecord(tokens: 5, source: keysValues, in: work)
                    layer(x, sequences: [0..<5], sources: repeated(keysValues), record: record, to: y, in: work)
                    let g = work.reserve(x.shape), gradient = work.reserve(source.shape)
                    work.arena.write(weights.span, to: g)
                    // Added to what is there.
                    work.arena.write([Float](repeating: 1, count: states.count).span, to: gradient)
                    layer.backward(g, record, addingToSource: gradient, to: g, in: work)
                    return atSource ? bench.read(gradient).map { $0 - 1 } : bench.read(g)
                })
            #expect(found.agrees, "\(found)")
        }
    }
}
