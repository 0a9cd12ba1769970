import AlbefImage
import AlbefLayers
import AlbefTensor

/// Whose gradient says where in a picture a text is.
public enum GroundingMode: String, Sendable, CaseIterable {
    /// The match logit, at a cross-attention layer of the fusion encoder.
    case itm
    /// The cosine of the features, at a block of the image encoder.
    case itc
}

/// Where in a picture the parts of a text are, by the gradient of the match logit (Grad-CAM).
public struct Grounding: Sendable {
    /// One piece of the text.
    public struct Word: Sendable {
        /// Its word pieces joined.
        public let word: String
        /// The mean over its pieces.
        public let heatmap: Heatmap
    }

    /// The layer whose cross-attention was looked at.
    public let layer: Int
    /// The match logit that was differentiated; equal to that of ``Session/match(_:_:)-(EncodedImage,EncodedText)``.
    public let itmLogit: Float
    /// `[tokens, rows, columns]`: a map for each token, `[CLS]` first; unscaled.
    public let tokenMaps: [Float]
    /// The mean over all tokens, `[CLS]` included: the map of the whole text.
    public let heatmap: Heatmap
    /// The words in order; `[CLS]` belongs to none.
    public let words: [Word]
}

extension Session {
    /// Finds where in a picture a text is.
    ///
    /// - Parameter layer: nil for the model's own choice (`gradcam_layer`); else one of ``Model/gradCAMLayers``.
    /// - Throws: ``AlbefError/layerOutOfRange(found:valid:)``, ``AlbefError/missingHead(path:head:tensor:)``,
    ///   ``AlbefError/nonFinite(stage:)``.
    public func ground(_ image: EncodedImage, _ text: EncodedText, layer: Int? = nil) throws(AlbefError) -> Grounding {
        let chosen = try model.gradCAMLayer(layer)
        return try pass(tokens: text.ids.count) { pass throws(AlbefError) in
            guard let head = pass.model.matching else { throw pass.model.missing(.matching) }
            return try pass.ground(image, text, head, layer: chosen)
        }
    }
}

extension ForwardPass {
    func ground(_ image: EncodedImage, _ text: EncodedText, _ head: MatchingHead, layer: Int) throws(AlbefError)
        -> Grounding
    {
        let mark = arena.mark()
        defer { arena.release(to: mark) }
        let (states, sequences) = placeTexts([text.tokens])
        let heatmaps = reserveHeatmaps(text.ids)
        let logits = work.reserve(Shape(1, 2)), probabilities = work.reserve(Shape(1, 2))
        try computing { () throws(AlbefError) in
            let scene = placeForGradient(image, sequences)
            let first = work.reserve(Shape(1, states.columns))
            let inputs = fuse(states, sequences, scene, keepingFrom: layer, classToken: first)
            try score(first, head, logits: logits, probabilities: probabilities)
            let gradient = work.reserve(states.shape)
            arena.clear(gradient)
            head.gradient(to: gradient.rows(0..<1), in: work)
            try tokenMaps(
                of: gradient, classToken: true, sequences, inputs, scene, layer: layer, stage: "gradcam", to: heatmaps)
        }
        return Grounding(
            layer: layer, itmLogit: arena.element(1, of: logits), tokenMaps: arena.read(heatmaps.tokens),
            heatmap: heatmap(heatmaps.all.rows(0..<1)), words: words(heatmaps))
    }

    /// A picture as the fusion layers and their gradients read it, for one text; until the caller releases it.
    func placeForGradient(_ image: EncodedImage, _ sequences: Sequences) -> TextEncoder.Scenes {
        var scene = TextEncoder.Scenes(1, pictures: 1, in: arena)
        scene.begin(texts: 1)
        scene.add(model.text.picture(image, for: sequences.ranges, 0..<1, gradients: true, in: work))
        return scene
    }

    /// Fuses one text, `[tokens, width]`, with a picture, and keeps what the gradient starts from.
    ///
    /// - Parameters:
    ///   - layer: The first layer whose input is kept.
    ///   - classToken: `[1, width]`: receives the first fused token. nil where all are wanted, which then replace `states`.
    /// - Returns: The inputs of the layers from `layer` on, `[layers, tokens, width]`. They lie in the arena until the caller
    ///   releases them.
    func fuse(
        _ states: TensorView, _ sequences: Sequences, _ scene: TextEncoder.Scenes, keepingFrom layer: Int,
        classToken: TensorView? = nil
    ) -> TensorView {
        let inputs = model.text.fuse(
            states, sequences: sequences.ranges, scenes: scene, keepingFrom: layer,
            classTokens: showsAllTokens ? nil : classToken, in: work)
        if showsAllTokens {
            if let classToken { copyFirstRows(of: states, sequences, to: classToken) }
            work.observe("fusion_tokens", states)
        }
        return inputs
    }

    /// The maps of a text, and which of its tokens are words.
    struct Heatmaps {
        /// `[tokens, patches]`.
        let tokens: TensorView
        /// `[1 + words, patches]`: the mean over all tokens, and over those of each word.
        let all: TensorView
        let words: [(word: String, rows: Range<Int>)]
    }

    /// Room for the maps of a text.
    func reserveHeatmaps(_ ids: [Int32]) -> Heatmaps {
        let words = model.tokenizer.words(in: ids).map { (word: $0, rows: $1) }
        let patches = model.vision.tokens - 1
        // A text has at most as many words as tokens, so that the plan holds for every text of its length.
        return Heatmaps(
            tokens: work.reserve(Shape(ids.count, patches)),
            all: work.reserve(Shape(1 + ids.count, patches)).rows(0..<1 + words.count), words: words)
    }

    /// Writes a map for each token from the gradient at the fused tokens, and the means over words and over all.
    ///
    /// - Parameters:
    ///   - classToken: True when the gradient is zero but for the first row.
    ///   - states: The inputs of the layers from `layer` on.
    ///   - stage: The name under which the maps are shown, and blamed.
    func tokenMaps(
        of gradient: TensorView, classToken: Bool = false, _ sequences: Sequences, _ states: TensorView,
        _ scene: TextEncoder.Scenes, layer: Int, stage: String, to heatmaps: Heatmaps
    ) throws(AlbefError) {
        let map = heatmaps.tokens
        guard
            model.text.tokenMaps(
                of: gradient, classToken: classToken, sequence: sequences.ranges, states: states, scene: scene, to: map,
                in: work)
        else {
            throw .layerOutOfRange(found: layer, valid: model.gradCAMLayers)
        }
        try checkFinite(map, stage)
        let side = model.configuration.patchGrid
        work.observe(stage, map.reshaped(Shape(map.rows, side, side)))
        work.kernels.meanRows(map, to: heatmaps.all.rows(0..<1).reshaped(Shape(map.columns)), in: arena)
        for word in heatmaps.words.indices {
            let mean = heatmaps.all.rows(1 + word..<2 + word).reshaped(Shape(map.columns))
            work.kernels.meanRows(map.rows(heatmaps.words[word].rows), to: mean, in: arena)
        }
    }

    /// The words of a text with the means over their pieces.
    func words(_ heatmaps: Heatmaps) -> [Grounding.Word] {
        heatmaps.words.indices.map { index in
            Grounding.Word(
                word: heatmaps.words[index].word, heatmap: heatmap(heatmaps.all.rows(1 + index..<2 + index)))
        }
    }

    /// A map, `[1, patches]`, as a picture.
    func heatmap(_ map: TensorView) -> Heatmap {
        let side = model.configuration.patchGrid
        return Heatmap(rows: side, columns: side, values: arena.read(map))
    }
}
