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
    private let imageWidth: Int
    /// True when a layer's projections read pictures in quantised form.
    private let quantizesImage: Bool
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
        imageWidth = configuration.visionWidth
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
        quantizesImage = layers.contains { $0.crossAttention?.quantizesSource == true }
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
        embeddings(ids, sequences: sequences, to: x, in: work)
        for index in 0..<fusionLayer {
            layers[index](x, sequences: sequences, to: x, in: work)
            work.observe("\(prefix).encoder.layer.\(index)", x)
        }
    }

    /// Which texts look at which pictures.
    struct Scenes {
        private struct Scene: BitwiseCopyable {
            let firstText, pastText: Int
            let firstPicture: Int
            var pastPicture: Int
        }

        private var scenes: ArenaList<Scene>
        private var pictures: ArenaList<ImageTokens>

        /// Room for so many scenes, with so many pictures together.
        init(_ count: Int, pictures: Int, in arena: Arena) {
            scenes = arena.list(capacity: count)
            self.pictures = arena.list(capacity: pictures)
        }

        var count: Int { scenes.count }

        /// Begins a scene that the next texts look at.
        mutating func begin(texts count: Int) {
            let first = scenes.isEmpty ? 0 : scenes[scenes.count - 1].pastText
            scenes.append(
                Scene(
                    firstText: first, pastText: first + count, firstPicture: pictures.count, pastPicture: pictures.count))
        }

        /// Adds a picture to the last scene.
        mutating func add(_ picture: ImageTokens) {
            pictures.append(picture)
            scenes[scenes.count - 1].pastPicture += 1
        }

        /// Places of a scene's texts.
        func texts(of scene: Int) -> Range<Int> { scenes[scene].firstText..<scenes[scene].pastText }

        /// The picture of a scene that comes up in its turn.
        func picture(of scene: Int, turn: Int) -> ImageTokens {
            let scene = scenes[scene]
            return pictures[scene.firstPicture + turn % (scene.pastPicture - scene.firstPicture)]
        }
    }

    /// Fusion mode: runs the upper layers on pairs of texts and pictures. Each text gives the same bytes alone and among
    /// others.
    ///
    /// - Parameters:
    ///   - x: `[rows, width]`: text tokens, replaced by fused tokens.
    ///   - sequences: The rows of each text.
    ///   - scenes: In the order of the texts, all of them. The layers look at the pictures of a scene in turn.
    ///   - oneText: The rows of a text, as one range, where all texts are that one: what the first layer computes before
    ///     it looks at a picture is then computed once. nil where they differ.
    ///   - first: The first layer whose input is kept, for the gradient; nil keeps none. The fused tokens have the same bytes.
    ///   - classTokens: `[texts, width]`: receives the first fused token of each text, and the last layer computes no other;
    ///     then `x` is left without meaning. nil where all tokens are wanted.
    /// - Returns: The inputs of the layers from `first` on, `[layers, rows, width]`. They lie in the arena until the caller
    ///   releases them.
    @discardableResult
    func fuse(
        _ x: TensorView, sequences: [Range<Int>], scenes: Scenes, oneText: [Range<Int>]? = nil,
        keepingFrom first: Int? = nil, classTokens: TensorView? = nil, in work: Workspace
    ) -> TensorView {
        let kept = work.reserve(Shape(layers.count - (first ?? layers.count), x.rows, x.columns))
        for index in fusionLayer..<layers.count {
            if let first, index >= first { work.arena.copy(x, to: kept.matrix(index - first)) }
            work.arena.scoped {
                let sources = self.sources(of: index, sequences, scenes, in: work)
                if let oneText, index == fusionLayer, classTokens == nil || index < layers.count - 1 {
                    layers[index](x.rows(oneText[0]), sequence: oneText, lookingAtEachOf: sources, to: x, in: work)
                    work.observe("\(prefix).encoder.layer.\(index)", x)
                } else if let classTokens, index == layers.count - 1 {
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
        of index: Int, _ sequences: [Range<Int>], _ scenes: Scenes, in work: Workspace
    ) -> ArenaList<CrossSource> {
        var result: ArenaList<CrossSource> = work.arena.list(capacity: sequences.count)
        guard let crossAttention = layers[index].crossAttention else { return result }
        for scene in 0..<scenes.count {
            let picture = scenes.picture(of: scene, turn: index - fusionLayer)
            // All texts that do not absorb the projections share one.
            var projected: KeysValues?
            for text in scenes.texts(of: scene) {
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

    /// A picture in the forms that the layers read, until the caller releases them.
    ///
    /// - Parameters:
    ///   - sequences: Of all texts.
    ///   - texts: Which of them look at it.
    ///   - gradients: Whether a gradient is taken, which needs keys and values of every layer.
    func picture(
        _ image: EncodedImage, for sequences: [Range<Int>], _ texts: Range<Int>, gradients: Bool = false, in work: Workspace
    ) -> ImageTokens {
        precondition(image.tokens.count == imageTokens * imageWidth, "the picture is another model's")
        var absorbing = false, projecting = gradients
        for text in texts {
            if absorbs(tokens: sequences[text].count) { absorbing = true }
            if projects(tokens: sequences[text].count) { projecting = true }
        }
        var rows: SharedRows?
        if projecting {
            let tokens = work.reserve(Shape(imageTokens, imageWidth))
            work.arena.write(image.tokens.span, to: tokens)
            rows = SharedRows(tokens, quantizing: quantizesImage, in: work)
        }
        return ImageTokens(
            rows: rows,
            quantized: absorbing ? work.kernels.quantizeTokens(image.tokens.span, width: imageWidth, in: work.arena) : nil)
    }

    /// Whether a layer projects pictures to keys and values for a text of so many tokens.
    func projects(tokens: Int) -> Bool {
        for index in layers.indices {
            if let attention = layers[index].crossAttention, !absorbs(attention, tokens: tokens) { return true }
        }
        return false
    }

    /// Whether a layer absorbs the projections for a text of so many tokens.
    private func absorbs(tokens: Int) -> Bool {
        for index in layers.indices {
            if let attention = layers[index].crossAttention, absorbs(attention, tokens: tokens) { return true }
        }
        return false
    }

    /// Tokens of the longest text, up to `limit`, whose layers all absorb the projections; 0 if there is none.
    func absorbedLength(upTo limit: Int) -> Int { (1...max(1, limit)).last { !projects(tokens: $0) } ?? 0 }

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
    ///   - classToken: True when `g` is zero but for the first row: the last layer is then run again for that row alone.
    ///   - sequence: The rows of the text, as one range.
    ///   - states: From ``fuse(_:sequences:scenes:keepingFrom:classTokens:in:)``, of at least one layer.
    ///   - scene: As it was fused, the only one, made for gradients.
    ///   - map: `[tokens, patches]`.
    /// - Returns: False, and nothing written, if the layer has no cross-attention.
    func tokenMaps(
        of g: TensorView, classToken: Bool = false, sequence: [Range<Int>], states: TensorView, scene: Scenes,
        to map: TensorView, in work: Workspace
    ) -> Bool {
        let first = layers.count - states.shape[0]
        return work.arena.scoped {
            var index = layers.count - 1
            while index > first {
                work.arena.scoped {
                    let rows = classToken && index == layers.count - 1 ? 1 : g.rows
                    let record = self.record(index, states.matrix(index - first), rows: rows, sequence, scene, in: work)
                    layers[index].backward(g.rows(0..<rows), record, to: g, in: work)
                }
                index -= 1
            }
            let record = self.record(first, states.matrix(0), rows: g.rows, sequence, scene, in: work)
            guard let attention = record.crossAttention?.probabilities else { return false }
            let gradient = work.reserve(attention.shape)
            guard layers[first].backwardCrossProbabilities(g, record, to: gradient, in: work) else { return false }
            work.kernels.gradCAM(probabilities: attention, gradient: gradient, to: map, in: work.arena)
            return true
        }
    }

    /// Runs a layer again on its input, for one text, and keeps what the gradient needs. It computes what it computed before;
    /// the gradient takes keys and values in either form.
    ///
    /// - Parameter rows: All, or 1 for the first alone.
    private func record(
        _ index: Int, _ x: TensorView, rows: Int, _ sequence: [Range<Int>], _ scene: Scenes, in work: Workspace
    ) -> EncoderLayer.Record {
        var keysValues: KeysValues?
        var sources: ArenaList<CrossSource> = work.arena.list(capacity: 1)
        if let crossAttention = layers[index].crossAttention {
            let picture = scene.picture(of: 0, turn: index - fusionLayer)
            if let tokens = picture.quantized, absorbs(crossAttention, tokens: x.rows) {
                keysValues = crossAttention.keysValues(self.rows(of: picture), arithmetic: .float32, in: work)
                sources.append(.absorbed(tokens))
            } else {
                let projected = crossAttention.keysValues(self.rows(of: picture), in: work)
                keysValues = projected
                sources.append(.projected(projected))
            }
        }
        let record = layers[index].reserveRecord(tokens: x.rows, rows: rows, source: keysValues, in: work)
        work.arena.scoped {
            let y = work.reserve(Shape(rows, width))
            if rows < x.rows {
                layers[index].firstRows(x, sequences: sequence, sources: sources, record: record, to: y, in: work)
            } else {
                layers[index](x, sequences: sequence, sources: sources, record: record, to: y, in: work)
            }
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
