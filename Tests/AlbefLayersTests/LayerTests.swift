import AlbefKernels
import AlbefModelFile
import AlbefTensor
import AlbefTestSupport
import Testing

@testable import AlbefLayers

/// One arena with random rows, for tests that run a layer in two ways.
struct Bench {
    let work: Workspace
    let kernels: Kernels

    init() throws {
        kernels = try Kernels(threads: 2)
        work = Workspace(kernels: kernels, arena: Arena(capacity: 8 << 20))
    }

    func rows(_ count: Int, _ width: Int, seed: UInt64) -> TensorView {
        let view = work.reserve(Shape(count, width))
        var numbers = RandomNumbers(seed: seed)
        work.arena.write(numbers.array(count * width).span, to: view)
        return view
    }

    func read(_ view: TensorView) -> [Float] { work.arena.read(view) }
}

private func layer(_ file: ModelFile, _ index: Int, precision: Precision) throws -> EncoderLayer {
    let c = file.configuration
    let source = EncoderLayer.Source(width: c.visionWidth, arithmetic: precision == .int8 ? .int8 : .float32)
    return try EncoderLayer(
        file, "text_encoder.encoder.layer.\(index)", width: c.textWidth, heads: c.textHeads,
        source: index >= c.fusionLayer ? source : nil)
}

/// Keys and values that so many texts look at; empty for a layer without cross-attention.
func repeated(_ source: KeysValues?, _ texts: Int = 1) -> [CrossSource] {
    source.map { Array(repeating: .projected($0), count: texts) } ?? []
}

private func withLayer(
    _ index: Int, _ precision: Precision, _ body: (EncoderLayer, ModelFile, Bench) throws -> Void
) throws {
    var tiny = TinyModel()
    tiny.precision = precision
    try tiny.withFile { path in
        let file = try ModelFile(path: path)
        try body(layer(file, index, precision: precision), file, Bench())
    }
}

@Suite("Layers")
struct LayerTests {
    @Test("shared rows give the bytes of plain rows", arguments: Precision.allCases)
    func sharedRows(precision: Precision) throws {
        try withLayer(0, precision) { layer, _, bench in
            let linear = layer.feedForward.mlp.first
            let x = bench.rows(5, linear.inputs, seed: 11)
            let plain = bench.work.reserve(Shape(5, linear.outputs))
            let shared = bench.work.reserve(Shape(5, linear.outputs))
            linear(x, to: plain, in: bench.work)
            linear(SharedRows(x, for: linear, in: bench.work), to: shared, in: bench.work)
            #expect(bench.read(plain) == bench.read(shared))
        }
    }

    @Test("a text gives the same bytes alone and among others", arguments: Precision.allCases, [0, 3])
    func alone(precision: Precision, index: Int) throws {
        try withLayer(index, precision) { layer, file, bench in
            let width = file.configuration.textWidth
            let image = bench.rows(file.configuration.imageTokens, file.configuration.visionWidth, seed: 3)
            let shared = SharedRows(image, quantizing: layer.crossAttention?.quantizesSource == true, in: bench.work)
            let source = layer.crossAttention?.keysValues(shared, in: bench.work)
            let sources = repeated(source, 3)
            let sequences = [0..<4, 4..<5, 5..<18]
            let x = bench.rows(18, width, seed: 5)
            let together = bench.work.reserve(Shape(18, width))
            layer(x, sequences: sequences, sources: sources, to: together, in: bench.work)
            for rows in sequences {
                let own = bench.work.reserve(Shape(rows.count, width))
                layer(x.rows(rows), sequences: [0..<rows.count], sources: repeated(source), to: own, in: bench.work)
                #expect(bench.read(own) == bench.read(together.rows(rows)), "rows \(rows)")
            }
            layer(x, sequences: sequences, sources: sources, to: x, in: bench.work)
            #expect(bench.read(x) == bench.read(together), "in place")
        }
    }

    @Test("recording for the gradient changes no byte", arguments: Precision.allCases, [1, 2])
    func recording(precision: Precision, index: Int) throws {
        try withLayer(index, precision) { layer, file, bench in
            let width = file.configuration.textWidth
            let image = bench.rows(file.configuration.imageTokens, file.configuration.visionWidth, seed: 3)
            let shared = SharedRows(image, quantizing: precision == .int8, in: bench.work)
            let source = layer.crossAttention?.keysValues(shared, in: bench.work)
            let x = bench.rows(7, width, seed: 6)
            let plain = bench.work.reserve(Shape(7, width))
            let recorded = bench.work.reserve(Shape(7, width))
            layer(x, sequences: [0..<7], sources: repeated(source), to: plain, in: bench.work)
            let record = layer.reserveRecord(tokens: 7, source: source, in: bench.work)
            layer(x, sequences: [0..<7], sources: repeated(source), record: record, to: recorded, in: bench.work)
            #expect(bench.read(plain) == bench.read(recorded))
        }
    }

    @Test("the gradient agrees with differences of the layer's output", arguments: [1, 3])
    func gradient(index: Int) throws {
        try withLayer(index, .float32) { layer, file, bench in
            let width = file.configuration.textWidth
            let count = 6 * width
            let image = bench.rows(file.configuration.imageTokens, file.configuration.visionWidth, seed: 3)
            let source = layer.crossAttention?.keysValues(
                SharedRows(image, quantizing: false, in: bench.work), in: bench.work)
            var numbers = RandomNumbers(seed: 21)
            let start = numbers.array(count), weights = numbers.array(count), direction = numbers.array(count)

            let x = bench.work.reserve(Shape(6, width))
            let y = bench.work.reserve(Shape(6, width))
            func score(_ step: Float) -> Double {
                let moved = zip(start, direction).map { $0 + step * $1 }
                bench.work.arena.write(moved.span, to: x)
                layer(x, sequences: [0..<6], sources: repeated(source), to: y, in: bench.work)
                return zip(bench.read(y), weights).reduce(0) { $0 + Double($1.0) * Double($1.1) }
            }
            let step: Float = 1.0 / 128
            let measured = (score(step) - score(-step)) / Double(2 * step)

            bench.work.arena.write(start.span, to: x)
            let record = layer.reserveRecord(tokens: 6, source: source, in: bench.work)
            layer(x, sequences: [0..<6], sources: repeated(source), record: record, to: y, in: bench.work)
            let g = bench.work.reserve(Shape(6, width))
            bench.work.arena.write(weights.span, to: g)
            layer.backward(g, record, to: g, in: bench.work)
            let computed = zip(bench.read(g), direction).reduce(0) { $0 + Double($1.0) * Double($1.1) }
            #expect(abs(computed - measured) < 5e-3 * max(1, abs(measured)), "\(computed) against \(measured)")
        }
    }

    @Test("a planning arena needs what a real one uses", arguments: Precision.allCases)
    func planning(precision: Precision) throws {
        try withLayer(2, precision) { layer, file, bench in
            func run(_ work: Workspace) {
                let c = file.configuration
                let image = work.reserve(Shape(c.imageTokens, c.visionWidth))
                let x = work.reserve(Shape(9, c.textWidth))
                if !work.arena.isPlanning {
                    work.arena.write([Float](repeating: 0.5, count: image.shape.count).span, to: image)
                    work.arena.write([Float](repeating: 0.25, count: x.shape.count).span, to: x)
                }
                let shared = SharedRows(image, quantizing: precision == .int8, in: work)
                let source = layer.crossAttention?.keysValues(shared, in: work)
                let record = layer.reserveRecord(tokens: 9, source: source, in: work)
                layer(x, sequences: [0..<9], sources: repeated(source), record: record, to: x, in: work)
                layer.backward(x, record, to: x, in: work)
            }
            let plan = Arena.planning()
            run(Workspace(kernels: bench.kernels, arena: plan))
            let real = Arena(capacity: plan.peak)
            run(Workspace(kernels: bench.kernels, arena: real))
            #expect(real.peak == plan.peak)
        }
    }

    @Test("a tensor of another shape is refused by name")
    func wrongShape() throws {
        try TinyModel().withFile { path in
            let file = try ModelFile(path: path)
            let error = #expect(throws: ModelFileError.self) {
                try LayerNorm(file, "visual_encoder.norm", width: 40, epsilon: 1e-6)
            }
            #expect(error.map { "\($0)".contains("visual_encoder.norm.weight") } == true)
        }
    }
}
