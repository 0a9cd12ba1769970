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
    private let imageTokens: Int
    private let prefix = "text_encoder"

    /// - Parameter pictures: That a text is fused with. The fusion layers look at them in turn, and layers that follow each
    ///   other, one for each picture, share their keys' and values' projections, which stand under the first one's name.
    init(_ file: ModelFile, pictures: Int) throws(ModelFileError) {
        let configuration = file.configuration
        embeddings = try Embeddings(
            file, prefix + ".embeddings", vocabulary: configuration.vocabSize, positions: configuration.maxPositions,
            width: configuration.textWidth)
        fusionLayer = configuration.fusionLayer
        imageTokens = configuration.imageTokens
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

    /// Some of the texts, and the pictures that they all look at.
    struct Scene {
        /// Places of the texts.
        let texts: Range<Int>
        /// At least one; the fusion layers look at one each, in turn.
        let pictures: [ImageTokens]
    }

    /// Fusion mode: runs the upper layers on pairs of texts and pictures. Each text gives the same bytes alone and among
    /// others.
    ///
    /// - Parameters:
    ///   - x: `[rows, width]`: text tokens, replaced by fused tokens.
    ///   - sequences: The rows of each text.
    ///   - scenes: In the order of the texts, all of them.
    ///   - first: The first layer whose input is kept, for the gradient; nil keeps none. The fused tokens have the same bytes.
    ///   - classTokens: `[texts, width]`: receives the first fused token of each text, and the last layer computes no other;
    ///     then `x` is left without meaning. nil where all tokens are wanted.
    /// - Returns: The inputs of the layers from `first` on, `[rows, width]` each. They lie in the arena until the caller
    ///   releases them.
    @discardableResult
    func fuse(
        _ x: TensorView, sequences: [Range<Int>], scenes: [Scene], keepingFrom first: Int? = nil,
        classTokens: TensorView? = nil, in work: Workspace
    ) -> [TensorView] {
        let kept = ((first ?? layers.count)..<layers.count).map { _ in work.reserve(x.shape) }
        for index in fusionLayer..<layers.count {
            if let first, index >= first { work.arena.copy(x, to: kept[index - first]) }
            work.arena.scoped {
                let sources = self.sources(of: index, sequences, scenes, in: work)
                if let classTokens, index == layers.count - 1 {
                    layers[index].firstRows(x, sequences: sequences, sources: sources, to: classTokens, in: work)
                } else {
                    layers[index](x, sequences: sequences, sources: sources, to: x, in: work)
                    work.observe("\(prefix).encoder.layer.\(index)", x)
                }
            }
        }
        return kept
    }

    /// What each text looks at in a layer.
    private func sources(
        of index: Int, _ sequences: [Range<Int>], _ scenes: [Scene], in work: Workspace
    ) -> [CrossSource] {
        guard let crossAttention = layers[index].crossAttention else { return [] }
        var result: [CrossSource] = []
        for scene in scenes {
            let picture = scene.pictures[(index - fusionLayer) % scene.pictures.count]
            // All texts that do not absorb the projections share one.
            var projected: KeysValues?
            for text in scene.texts {
                if let tokens = picture.quantized, absorbs(crossAttention, tokens: sequences[text].count) {
                    result.append(.absorbed(tokens))
                } else {
                    let own = projected ?? crossAttention.keysValues(rows(of: picture), in: work)
                    projected = own
                    result.append(.projected(own))
                }
            }
        }
        return result
    }

    /// The tokens of a picture, `[image tokens, vision width]`, in the forms that the layers read.
    ///
    /// - Parameters:
    ///   - lengths: Tokens of the texts that look at it.
    ///   - gradients: Whether a gradient is taken, which needs keys and values of every layer.
    func picture(
        _ tokens: TensorView, for lengths: [Int], gradients: Bool = false, in work: Workspace
    ) -> ImageTokens {
        let attentions = layers.compactMap(\.crossAttention)
        let absorbing = attentions.contains { layer in lengths.contains { absorbs(layer, tokens: $0) } }
        let quantizing = attentions.contains(where: \.quantizesSource)
        return ImageTokens(
            rows: gradients || projects(lengths) ? SharedRows(tokens, quantizing: quantizing, in: work) : nil,
            quantized: absorbing ? work.kernels.quantizeKeysValues(tokens, tokens, heads: 1, in: work.arena) : nil)
    }

    /// Whether a layer projects pictures to keys and values for texts of these lengths.
    func projects(_ lengths: [Int]) -> Bool {
        layers.compactMap(\.crossAttention).contains { layer in lengths.contains { !absorbs(layer, tokens: $0) } }
    }

    /// Tokens of the longest text, up to `limit`, whose layers all absorb the projections; 0 if there is none.
    func absorbedLength(upTo limit: Int) -> Int { (1...max(1, limit)).last { !projects([$0]) } ?? 0 }

    private func absorbs(_ layer: CrossAttention, tokens: Int) -> Bool {
        layer.absorbs(tokens: tokens, sourceTokens: imageTokens)
    }

    private func rows(of picture: ImageTokens) -> SharedRows {
        guard let rows = picture.rows else { preconditionFailure("a picture is made for the texts that look at it") }
        return rows
    }

    /// Carries the gradient at the fused tokens of one text down to the cross-attention of the first kept layer, and writes
    /// a map for each token: the mean over heads of `A · max(g, 0)`.
    ///
    /// Each layer is run again from its kept input as the gradient passes, so that the tensors of one layer exist at a time;
    /// keys and values of a picture are the greatest of them.
    ///
    /// - Parameters:
    ///   - g: `[tokens, width]`; overwritten.
    ///   - states: From ``fuse(_:sequences:scenes:keepingFrom:classTokens:in:)``, at least one.
    ///   - pictures: As they were fused, made for gradients.
    ///   - map: `[tokens, patches]`.
    /// - Returns: False, and nothing written, if the layer has no cross-attention.
    func tokenMaps(
        of g: TensorView, states: [TensorView], pictures: [ImageTokens], to map: TensorView, in work: Workspace
    ) -> Bool {
        let first = layers.count - states.count
        return work.arena.scoped {
            for index in stride(from: layers.count - 1, to: first, by: -1) {
                work.arena.scoped {
                    layers[index].backward(g, self.record(index, states[index - first], pictures, in: work), to: g, in: work)
                }
            }
            let record = self.record(first, states[0], pictures, in: work)
            guard let attention = record.crossAttention?.probabilities else { return false }
            let gradient = work.reserve(attention.shape)
            guard layers[first].backwardCrossProbabilities(g, record, to: gradient, in: work) else { return false }
            work.kernels.gradCAM(probabilities: attention, gradient: gradient, to: map, in: work.arena)
            return true
        }
    }

    /// Runs a layer again on its input, for one text, and keeps what the gradient needs. It computes what it computed before;
    /// the gradient takes keys and values in either form.
    private func record(_ index: Int, _ x: TensorView, _ pictures: [ImageTokens], in work: Workspace) -> EncoderLayer.Record {
        var keysValues: KeysValues?
        var sources: [CrossSource] = []
        if let crossAttention = layers[index].crossAttention {
            let picture = pictures[(index - fusionLayer) % pictures.count]
            if let tokens = picture.quantized, absorbs(crossAttention, tokens: x.rows) {
                keysValues = crossAttention.keysValues(rows(of: picture), arithmetic: .float32, in: work)
                sources = [.absorbed(tokens)]
            } else {
                let projected = crossAttention.keysValues(rows(of: picture), in: work)
                keysValues = projected
                sources = [.projected(projected)]
            }
        }
        let record = layers[index].reserveRecord(tokens: x.rows, source: keysValues, in: work)
        work.arena.scoped {
            layers[index](
                x, sequences: [0..<x.rows], sources: sources, record: record, to: work.reserve(x.shape), in: work)
        }
        return record
    }
}

extension TensorView {
    /// Some elements of a vector.
    func elements(_ range: Range<Int>) -> TensorView {
        precondition(shape.rank == 1 && range.lowerBound >= 0 && range.upperBound <= shape[0])
        return TensorView(offset: offset + range.lowerBound * type.byteWidth, shape: Shape(range.count), type: type)
    }
}
