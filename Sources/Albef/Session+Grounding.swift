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
        let (states, _) = placeTexts([text.tokens])
        let side = model.configuration.patchGrid
        let map = work.reserve(Shape(states.rows, model.vision.tokens - 1))

        let picture = placeForGradient(image, tokens: states.rows)
        let first = work.reserve(Shape(1, states.columns))
        let inputs = fuse(states, picture, keepingFrom: layer, classToken: first)
        let score = try score(first, head)

        let gradient = place(Array(repeating: Float(0), count: states.shape.count), states.shape)
        head.gradient(to: gradient.rows(0..<1), in: work)
        try tokenMaps(of: gradient, inputs, picture, layer: layer, stage: "gradcam", to: map)
        return Grounding(
            layer: layer, itmLogit: score.logit, tokenMaps: arena.read(map), heatmap: mean(map, side: side),
            words: words(of: text.ids, map, side: side))
    }

    /// A picture as the fusion layers and their gradients read it, for a text of `tokens`; until the caller releases it.
    func placeForGradient(_ image: EncodedImage, tokens: Int) -> ImageTokens {
        let view = place(image.tokens, Shape(model.vision.tokens, model.vision.width))
        return model.text.picture(view, for: [tokens], gradients: true, in: work)
    }

    /// Fuses one text, `[tokens, width]`, with a picture, and keeps what the gradient starts from.
    ///
    /// - Parameters:
    ///   - layer: The first layer whose input is kept.
    ///   - classToken: `[1, width]`: receives the first fused token. nil where all are wanted, which then replace `states`.
    /// - Returns: The inputs of the layers from `layer` on. They lie in the arena until the caller releases them.
    func fuse(
        _ states: TensorView, _ picture: ImageTokens, keepingFrom layer: Int, classToken: TensorView? = nil
    ) -> [TensorView] {
        let sequences = Sequences([states.rows])
        let inputs = model.text.fuse(
            states, sequences: sequences.ranges, scenes: [TextEncoder.Scene(texts: 0..<1, pictures: [picture])],
            keepingFrom: layer, classTokens: showsAllTokens ? nil : classToken, in: work)
        if showsAllTokens {
            if let classToken { copyFirstRows(of: states, sequences, to: classToken) }
            work.observe("fusion_tokens", states)
        }
        return inputs
    }

    /// Writes a map for each token, `[tokens, patches]`, from the gradient at the fused tokens.
    ///
    /// - Parameters:
    ///   - states: The inputs of the layers from `layer` on.
    ///   - stage: The name under which the maps are shown, and blamed.
    func tokenMaps(
        of gradient: TensorView, _ states: [TensorView], _ picture: ImageTokens, layer: Int, stage: String,
        to map: TensorView
    ) throws(AlbefError) {
        guard model.text.tokenMaps(of: gradient, states: states, pictures: [picture], to: map, in: work) else {
            throw .layerOutOfRange(found: layer, valid: model.gradCAMLayers)
        }
        try checkFinite(map, stage)
        let side = model.configuration.patchGrid
        work.observe(stage, map.reshaped(Shape(map.rows, side, side)))
    }

    /// The words of a text with the means over their pieces.
    func words(of ids: [Int32], _ map: TensorView, side: Int) -> [Grounding.Word] {
        model.tokenizer.words(in: ids).map { word, rows in
            Grounding.Word(word: word, heatmap: mean(map.rows(rows), side: side))
        }
    }

    /// The mean of some rows of the token maps, as a picture.
    func mean(_ map: TensorView, side: Int) -> Heatmap {
        arena.scoped {
            let result = work.reserve(Shape(map.columns))
            work.kernels.meanRows(map, to: result, in: arena)
            return Heatmap(rows: side, columns: side, values: arena.read(result))
        }
    }
}
