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
    ///   - first: The first layer whose input is kept, for the gradient; nil keeps none. The fused tokens have the same bytes.
    /// - Returns: The inputs of the layers from `first` on, `[rows, width]` each. They lie in the arena until the caller
    ///   releases them.
    @discardableResult
    func fuse(
        _ x: TensorView, sequences: [Range<Int>], images: [TensorView], keepingFrom first: Int? = nil, in work: Workspace
    ) -> [TensorView] {
        let kept = ((first ?? layers.count)..<layers.count).map { _ in work.reserve(x.shape) }
        let sources = self.sources(images, in: work)
        for index in fusionLayer..<layers.count {
            if let first, index >= first { work.arena.copy(x, to: kept[index - first]) }
            work.arena.scoped {
                let keysValues = self.keysValues(of: index, sources, in: work)
                layers[index](x, sequences: sequences, source: keysValues, to: x, in: work)
            }
            work.observe("\(prefix).encoder.layer.\(index)", x)
        }
        return kept
    }

    /// Carries the gradient at the fused tokens of one text down to the cross-attention of the first kept layer, and writes
    /// a map for each token: the mean over heads of `A · max(g, 0)`.
    ///
    /// Each layer is run again from its kept input as the gradient passes, so that the tensors of one layer exist at a time;
    /// keys and values of a picture are the greatest of them.
    ///
    /// - Parameters:
    ///   - g: `[tokens, width]`; overwritten.
    ///   - states: From ``fuse(_:sequences:images:keepingFrom:in:)``, at least one.
    ///   - images: As they were fused.
    ///   - map: `[tokens, patches]`.
    /// - Returns: False, and nothing written, if the layer has no cross-attention.
    func tokenMaps(
        of g: TensorView, states: [TensorView], images: [TensorView], to map: TensorView, in work: Workspace
    ) -> Bool {
        let first = layers.count - states.count
        return work.arena.scoped {
            let sources = self.sources(images, in: work)
            for index in stride(from: layers.count - 1, to: first, by: -1) {
                work.arena.scoped {
                    layers[index].backward(g, self.record(index, states[index - first], sources, in: work), to: g, in: work)
                }
            }
            let record = self.record(first, states[0], sources, in: work)
            guard let attention = record.crossAttention?.probabilities else { return false }
            let gradient = work.reserve(attention.shape)
            guard layers[first].backwardCrossProbabilities(g, record, to: gradient, in: work) else { return false }
            work.kernels.gradCAM(probabilities: attention, gradient: gradient, to: map, in: work.arena)
            return true
        }
    }

    /// Runs a layer again on its input, for one text, and keeps what the gradient needs.
    private func record(_ index: Int, _ x: TensorView, _ sources: [SharedRows], in work: Workspace) -> EncoderLayer.Record {
        let keysValues = self.keysValues(of: index, sources, in: work)
        let record = layers[index].reserveRecord(tokens: x.rows, source: keysValues, in: work)
        work.arena.scoped {
            layers[index](
                x, sequences: [0..<x.rows], source: keysValues, record: record, to: work.reserve(x.shape), in: work)
        }
        return record
    }

    /// Pictures as the layers' projections read them.
    private func sources(_ images: [TensorView], in work: Workspace) -> [SharedRows] {
        let quantizing = layers.contains { $0.crossAttention?.quantizesSource == true }
        return images.map { SharedRows($0, quantizing: quantizing, in: work) }
    }

    /// The keys and values that a layer attends to.
    private func keysValues(of index: Int, _ sources: [SharedRows], in work: Workspace) -> KeysValues? {
        layers[index].crossAttention?.keysValues(sources[(index - fusionLayer) % sources.count], in: work)
    }
}

extension TensorView {
    /// Some elements of a vector.
    func elements(_ range: Range<Int>) -> TensorView {
        precondition(shape.rank == 1 && range.lowerBound >= 0 && range.upperBound <= shape[0])
        return TensorView(offset: offset + range.lowerBound * type.byteWidth, shape: Shape(range.count), type: type)
    }
}
