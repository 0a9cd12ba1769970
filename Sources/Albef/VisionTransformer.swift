import AlbefKernels
import AlbefLayers
import AlbefModelFile
import AlbefTensor

/// The image encoder: patch embedding, pre-norm blocks, a final norm over all tokens.
struct VisionTransformer: Sendable {
    private let embedding: PatchEmbedding
    let blocks: [VisionBlock]
    let norm: LayerNorm
    private let mean: [Float]
    private let std: [Float]
    private let size: Int
    /// Tokens of a picture, the class token included.
    let tokens: Int
    /// Width of a token.
    let width: Int

    init(_ file: ModelFile) throws(ModelFileError) {
        let configuration = file.configuration
        let prefix = "visual_encoder"
        size = configuration.imageSize
        tokens = configuration.imageTokens
        width = configuration.visionWidth
        mean = configuration.mean
        std = configuration.std
        embedding = try PatchEmbedding(
            file, prefix, patch: configuration.patchSize, tokens: tokens, width: width)
        var blocks: [VisionBlock] = []
        for index in 0..<configuration.visionLayers {
            blocks.append(
                try VisionBlock(
                    file, prefix + ".blocks.\(index)", width: width, heads: configuration.visionHeads,
                    arithmetic: file.imageAttention))
        }
        self.blocks = blocks
        norm = try LayerNorm(file, prefix + ".norm", width: width, epsilon: 1e-6)
    }

    /// Encodes a picture.
    ///
    /// - Parameters:
    ///   - image: At the model's size.
    ///   - first: The first block whose input is kept, for the gradient; nil keeps none. The result has the same bytes.
    ///   - y: `[tokens, width]`, the class token first.
    /// - Returns: The inputs of the blocks from `first` on and, last, of the final norm: `[inputs, tokens, width]`. They lie
    ///   in the arena until the caller releases them.
    @discardableResult
    func callAsFunction(_ image: [UInt8], keepingFrom first: Int? = nil, to y: TensorView, in work: Workspace)
        -> TensorView
    {
        let kept = work.reserve(Shape(blocks.count + 1 - (first ?? blocks.count + 1), tokens, width))
        /// The input of a block, or of the final norm. What is not kept has its place in the result.
        func state(_ index: Int) -> TensorView {
            if let first, index >= first { kept.matrix(index - first) } else { y }
        }
        work.arena.scoped {
            let pixels = work.arena.reserve(Shape(size, size, 3), .uint8)
            work.arena.write(image.span, to: pixels)
            work.observe("pixels_u8", pixels)
            let normalized = work.reserve(Shape(3, size, size))
            work.kernels.normalizePixels(pixels, mean: mean, std: std, to: normalized, in: work.arena)
            work.observe("pixels", normalized)
            embedding(normalized, to: state(0), in: work)
        }
        for index in blocks.indices {
            blocks[index](state(index), to: state(index + 1), in: work)
            work.observe("visual_encoder.blocks.\(index)", state(index + 1))
        }
        norm(state(blocks.count), to: y, in: work)
        work.observe("image_tokens", y)
        return kept
    }
}
