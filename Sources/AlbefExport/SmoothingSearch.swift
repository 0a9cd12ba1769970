import Albef
import AlbefKernels
import AlbefModelFile
import AlbefTensor

/// Chooses for each site how much of its inputs' range moves into the weights: the share with the least error of the layers'
/// int8 outputs on sampled inputs.
struct SmoothingSearch {
    /// SmoothQuant's alpha; 0 moves weights into inputs and 1 the reverse.
    static let shares: [Float] = [0.25, 0.5, 0.75]

    let reader: WeightReader
    let layout: ModelLayout
    let kernels: Kernels

    /// The sites where some share is better than none, with it.
    ///
    /// - Parameter inputs: What the consumers read; a site without is left as it is.
    func folds(_ sites: [SmoothingSite], _ inputs: [String: LinearInput]) throws(ExportError) -> [Fold] {
        var folds: [Fold] = []
        for site in sites {
            var layers: [Layer] = []
            for name in site.consumers {
                if let layer = try layer(name, inputs) { layers.append(layer) }
            }
            guard layers.count == site.consumers.count else { continue }
            var greatest = (inputs: [Float](repeating: 0, count: site.width), weights: [Float](repeating: 0, count: site.width))
            for layer in layers {
                Kernels.raise(&greatest.inputs, toColumnsOf: layer.input.greatest)
                Kernels.raise(&greatest.weights, toColumnsOf: layer.weights)
            }
            let none = [Int32](repeating: 0, count: site.width)
            let before = error(of: layers, none)
            var best: Fold?
            for share in SmoothingSearch.shares {
                let exponents = Kernels.smoothingExponents(
                    inputs: greatest.inputs, weights: greatest.weights, share: share)
                let after = error(of: layers, exponents)
                if after < best?.errorAfter ?? before {
                    best = Fold(
                        site: site, share: share, exponents: exponents, errorBefore: before, errorAfter: after)
                }
            }
            if let best { folds.append(best) }
        }
        return folds
    }

    /// A layer that reads a site, with what it read.
    private struct Layer {
        let channels: Int
        let weights: [Float]
        let input: LinearInput
    }

    private func layer(_ name: String, _ inputs: [String: LinearInput]) throws(ExportError) -> Layer? {
        guard let input = inputs[name], !input.rows.isEmpty,
            let entry = layout.entries.first(where: { $0.name == name + ".weight" })
        else { return nil }
        return Layer(channels: entry.shape[0], weights: try reader.floats(entry, folds: []), input: input)
    }

    /// One minus the cosine between the layers' outputs in int8 and in float, at inputs and weights of some scales; without
    /// bias. Weights that are not finite count as no error: packing them is refused elsewhere.
    private func error(of layers: [Layer], _ exponents: [Int32]) -> Double {
        let width = exponents.count
        let inverse = exponents.map { -$0 }
        var own: [Float] = []
        var expected: [Float] = []
        for layer in layers {
            var weights = layer.weights, rows = layer.input.rows
            Kernels.scaleColumns(&weights, by: exponents)
            Kernels.scaleColumns(&rows, by: inverse)
            guard let packed = Kernels.packInt8(weights, channels: layer.channels, depth: width, threads: kernels.threads),
                let exact = Kernels.packFloat32(
                    layer.weights, channels: layer.channels, depth: width, threads: kernels.threads)
            else { return 0 }
            let layout = PackedLayout.float32Shape(channels: layer.channels, depth: width)
            own += product(rows, .int8(packed.matrix(channels: layer.channels, depth: width)))
            expected += product(
                layer.input.rows,
                .float32(
                    PackedFloat32Matrix(
                        channels: layer.channels, depth: width, values: ConstantTensor(exact, shape: layout))))
        }
        return 1 - Kernels.compare(own, expected).cosine
    }

    private func product(_ rows: [Float], _ weights: PackedMatrix) -> [Float] {
        let count = rows.count / weights.depth
        func compute(_ arena: Arena) -> [Float] {
            let x = arena.reserve(Shape(count, weights.depth))
            arena.write(rows.span, to: x)
            let y = arena.reserve(Shape(count, weights.channels))
            kernels.linear(x, weights, bias: nil, to: y, in: arena)
            return arena.read(y)
        }
        let plan = Arena.planning()
        _ = compute(plan)
        return compute(Arena(capacity: plan.peak))
    }
}
