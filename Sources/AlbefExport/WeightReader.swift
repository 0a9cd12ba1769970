import AlbefKernels
import AlbefModelFile

/// Reads a model's weights from a checkpoint, changed as the export asks: positions of another picture size, smoothed layers.
struct WeightReader: Sendable {
    let index: WeightIndex
    /// The sizes of the checkpoint.
    let stored: ModelConfiguration
    /// The sizes of the model file; they differ in the picture's size at most.
    let configuration: ModelConfiguration
    let kernels: Kernels

    static let positionsName = "visual_encoder.pos_embed"

    /// The numbers of a weight, row-major.
    ///
    /// - Throws: ``ExportError`` if the weight is missing or damaged.
    func floats(_ entry: LayoutEntry, folds: [Fold]) throws(ExportError) -> [Float] {
        guard let tensor = index[entry.name] else {
            throw .missingTensors(path: index.checkpoint.path, names: [entry.name])
        }
        var values = try index.checkpoint.floats(tensor.name)
        if entry.name == WeightReader.positionsName {
            values = PositionGrid.resize(
                values, width: stored.visionWidth, from: stored.patchGrid, to: configuration.patchGrid, kernels: kernels)
        }
        for fold in folds { WeightReader.apply(fold, to: &values, of: entry) }
        return values
    }

    /// The shape of a plain weight in the model file.
    func plainShape(_ entry: LayoutEntry, _ shape: [Int]) -> [Int] {
        entry.name == WeightReader.positionsName ? [configuration.imageTokens, configuration.visionWidth] : shape
    }

    /// Scales the columns of a weight that reads a fold's inputs, and the rows of one that makes them. One weight may do both,
    /// in two folds: qkv reads a norm and makes the values.
    private static func apply(_ fold: Fold, to values: inout [Float], of entry: LayoutEntry) {
        if fold.site.consumers.contains(where: { $0 + ".weight" == entry.name }) {
            Kernels.scaleColumns(&values, by: fold.exponents)
        }
        for producer in fold.site.producers where producer.tensor == entry.name {
            Kernels.unscaleRows(
                &values, width: values.count / entry.shape[0], from: producer.start, by: fold.exponents)
        }
    }
}

/// Position embeddings of a square grid of patches.
enum PositionGrid {
    /// Resamples position embeddings to another grid; the class token's stays as it is.
    ///
    /// Source: `interpolate_pos_embed` of ALBEF's `models/vit.py`: bicubic with a = -0.75, no antialiasing.
    ///
    /// - Parameter positions: `[1 + from², width]`, the class token's first.
    /// - Returns: `[1 + to², width]`.
    static func resize(_ positions: [Float], width: Int, from: Int, to: Int, kernels: Kernels) -> [Float] {
        precondition(positions.count == (1 + from * from) * width && to > 0)
        if from == to { return positions }
        var result = [Float](repeating: 0, count: (1 + to * to) * width)
        result.replaceSubrange(0..<width, with: positions[0..<width])
        for channel in 0..<width {
            let map = (0..<from * from).map { positions[($0 + 1) * width + channel] }
            let resized = kernels.upsample(map, rows: from, columns: from, to: (rows: to, columns: to))
            for (patch, value) in resized.enumerated() { result[(patch + 1) * width + channel] = value }
        }
        return result
    }
}
