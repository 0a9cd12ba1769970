import AlbefImage
import AlbefLayers
import AlbefTensor

/// Where the image encoder looks when a picture's feature is close to a text's: Grad-CAM of the cosine.
///
/// The text as a whole is compared, so that there is one map and none for its words.
public struct ContrastiveGrounding: Sendable {
    /// The image encoder's block whose attention was looked at.
    public let block: Int
    /// The cosine that was differentiated; equal to that of ``Session/match(_:_:)-(EncodedImage,EncodedText)``.
    public let similarity: Float
    /// The mean over heads of `A · max(g, 0)`: the class token's attention to each patch, and its gradient.
    public let heatmap: Heatmap
}

extension Model {
    /// The blocks whose attention a contrastive heatmap can be taken from.
    public var contrastiveGradCAMBlocks: ClosedRange<Int> { 0...configuration.visionLayers - 1 }
}

extension Session {
    /// Finds where in a picture a text is, by the cosine of their features.
    ///
    /// The picture is encoded anew, since the gradient needs the inner states of the image encoder.
    ///
    /// - Parameters:
    ///   - image: At the model's size.
    ///   - text: Encoded by a model with a contrastive head.
    ///   - block: nil for the model's `gradcam_layer`, or its last block if there are fewer.
    /// - Throws: ``AlbefError/blockOutOfRange(found:valid:)``, ``AlbefError/missingHead(path:head:tensor:)``,
    ///   ``AlbefError/nonFinite(stage:)``.
    /// - Source: ALBEF, arXiv:2107.07651, its `Grounding.py` with `--gradcam_mode itc`.
    public func groundByFeature(_ image: PreparedImage, _ text: EncodedText, block: Int? = nil) throws(AlbefError)
        -> ContrastiveGrounding
    {
        let blocks = model.contrastiveGradCAMBlocks
        let chosen = block ?? min(model.configuration.gradcamLayer, blocks.upperBound)
        guard blocks.contains(chosen) else { throw .blockOutOfRange(found: chosen, valid: blocks) }
        return try pass { pass throws(AlbefError) in
            guard let head = pass.model.contrastive, let feature = text.feature else {
                throw pass.model.missing(.contrastive)
            }
            return try pass.ground(image, feature, head, block: chosen)
        }
    }
}

extension ForwardPass {
    /// - Parameter feature: Of the text, `[embed_dim]`.
    func ground(_ image: PreparedImage, _ feature: [Float], _ head: ContrastiveHead, block: Int) throws(AlbefError)
        -> ContrastiveGrounding
    {
        let mark = arena.mark()
        defer { arena.release(to: mark) }
        let vision = model.vision
        let side = model.configuration.patchGrid
        let heads = model.configuration.visionHeads
        let map = work.reserve(Shape(1, vision.tokens - 1))
        let probabilities = work.reserve(Shape(heads, 1, vision.tokens))
        let gradient = work.reserve(probabilities.shape)
        let text = place(feature, Shape(1, head.width))
        let own = work.reserve(text.shape)
        let g = work.reserve(Shape(1, vision.width))
        let cosine = work.reserve(Shape(1, 1))

        let tokens = work.reserve(Shape(vision.tokens, vision.width))
        try computing { () throws(AlbefError) in
            let states = vision(image.pixels, keepingFrom: block, to: tokens, in: work)
            try checkFinite(tokens, "image_tokens")
            head.image(tokens.rows(0..<1), to: own, in: work)
            try checkFinite(own, "image_feature")
            work.kernels.product(own, transposed: false, text, transposed: true, to: cosine, in: arena)

            head.imageGradient(tokens.rows(0..<1), text: text, to: g, in: work)
            vision.backwardClassAttention(g, states: states, probabilities: probabilities, to: gradient, in: work)
            work.kernels.gradCAM(probabilities: probabilities, gradient: gradient, to: map, in: arena)
            try checkFinite(map, "itc_gradcam")
            work.observe("itc_gradcam", map.reshaped(Shape(side, side)))
        }
        return ContrastiveGrounding(
            block: block, similarity: arena.element(0, of: cosine),
            heatmap: Heatmap(rows: side, columns: side, values: arena.read(map)))
    }
}
