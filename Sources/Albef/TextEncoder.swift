import AlbefKernels
import AlbefLayers
import AlbefModelFile
import AlbefTensor

/// The BERT stack that is both the text encoder (its lower layers) and the fusion encoder (its upper layers, which also
/// attend to image tokens).
struct TextEncoder: Sendable {
    let embeddings: Embeddings
    private let layers: [EncoderLayer]
    private let fusionLayer: Int
    private let prefix = "text_encoder"

    /// - Parameter pictures: That a text is fused with. The fusion layers look at them in turn, and layers that follow each
    ///   other, one for each picture, share their keys' and values' projections, which stand under the first one's name.
    init(_ file: ModelFile, pictures: Int) throws(ModelFileError) {
        let configuration = file.configuration
        embeddings = try Embeddings(
            file, prefix + ".embeddings", vocabulary: configuration.vocabSize, positions: configuration.maxPositions,
            width: configuration.textWidth)
        fusionLayer = configuration.fusionLayer
        var layers: [EncoderLayer] = []
        for index in 0..<configuration.textLayers {
            var source: EncoderLayer.Source?
            if index >= configuration.fusionLayer {
                let first = index - (index - configuration.fusionLayer) % pictures
                source = EncoderLayer.Source(
                    width: configuration.visionWidth, arithmetic: file.imageAttention,
                    keysValues: prefix + ".encoder.layer.\(first)")
            }
            layers.append(
                try EncoderLayer(
                    file, prefix + ".encoder.layer.\(index)", width: configuration.textWidth,
                    heads: configuration.textHeads, source: source))
        }
        self.layers = layers
    }

    /// Width of a token.
    var width: Int { embeddings.width }

    /// Text mode: embeds each sequence and runs the layers below the fusion layer.
    ///
    /// - Parameters:
    ///   - ids: Int32 `[rows]`: the texts one after another.
    ///   - sequences: The rows of each text.
    ///   - x: `[rows, width]`.
    func encode(_ ids: TensorView, sequences: [Range<Int>], to x: TensorView, in work: Workspace) {
        for rows in sequences { embeddings(ids.elements(rows), to: x.rows(rows), in: work) }
        for index in 0..<fusionLayer {
            layers[index](x, sequences: sequences, to: x, in: work)
            work.observe("\(prefix).encoder.layer.\(index)", x)
        }
    }

    /// Fusion mode: runs the upper layers on texts that all look at the same pictures, the layers at one picture each, in turn.
    ///
    /// - Parameters:
    ///   - x: `[rows, width]`: text tokens, replaced by fused tokens.
    ///   - sequences: The rows of each text.
    ///   - images: At least one, each `[image tokens, vision width]`.
    ///   - recording: The first layer whose inner tensors are kept for the gradient (one text only); nil keeps none. The
    ///     fused tokens have the same bytes either way.
    /// - Returns: The records from layer `recording` on. They lie in the arena until the caller releases them.
    @discardableResult
    func fuse(
        _ x: TensorView, sequences: [Range<Int>], images: [TensorView], recording: Int? = nil, in work: Workspace
    ) -> [EncoderLayer.Record] {
        let quantizing = layers.contains { $0.crossAttention?.quantizesSource == true }
        let sources = images.map { SharedRows($0, quantizing: quantizing, in: work) }
        var records: [EncoderLayer.Record] = []
        for index in fusionLayer..<layers.count {
            let layer = layers[index]
            let source = sources[(index - fusionLayer) % sources.count]
            if let recording, index >= recording {
                let keysValues = layer.crossAttention?.keysValues(source, in: work)
                let record = layer.reserveRecord(tokens: x.rows, source: keysValues, in: work)
                layer(x, sequences: sequences, source: keysValues, record: record, to: x, in: work)
                records.append(record)
            } else {
                work.arena.scoped {
                    let keysValues = layer.crossAttention?.keysValues(source, in: work)
                    layer(x, sequences: sequences, source: keysValues, to: x, in: work)
                }
            }
            work.observe("\(prefix).encoder.layer.\(index)", x)
        }
        return records
    }

    /// Carries the gradient at the last layer's output down to the cross-attention probabilities of the lowest recorded
    /// layer.
    ///
    /// - Parameters:
    ///   - g: `[tokens, width]`; overwritten.
    ///   - records: From ``fuse(_:sequences:images:recording:in:)``, at least one.
    ///   - gradient: `[heads, tokens, image tokens]`.
    /// - Returns: The recorded probabilities of that layer, of the same shape.
    func backward(_ g: TensorView, records: [EncoderLayer.Record], to gradient: TensorView, in work: Workspace)
        -> TensorView?
    {
        let first = layers.count - records.count
        for index in stride(from: layers.count - 1, to: first, by: -1) {
            layers[index].backward(g, records[index - first], to: g, in: work)
        }
        guard let record = records.first, let cross = record.crossAttention,
            layers[first].backwardCrossProbabilities(g, record, to: gradient, in: work)
        else { return nil }
        return cross.probabilities
    }
}

extension TensorView {
    /// Some elements of a vector.
    func elements(_ range: Range<Int>) -> TensorView {
        precondition(shape.rank == 1 && range.lowerBound >= 0 && range.upperBound <= shape[0])
        return TensorView(offset: offset + range.lowerBound * type.byteWidth, shape: Shape(range.count), type: type)
    }
}
