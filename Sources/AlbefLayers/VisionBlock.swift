import AlbefKernels
import AlbefModelFile
import AlbefTensor

/// One block of the image encoder: `x + attention(norm1(x))`, then `x + MLP(norm2(x))` (pre-norm).
///
/// - Shapes: `x` `[tokens, width]`; queries, keys and values come from one projection, `[tokens, 3 · width]`, in that order,
///   each head after head.
/// - Source: ViT, arXiv:2010.11929; ALBEF's `vit.py`.
public struct VisionBlock: Sendable {
    private let firstNorm: LayerNorm
    private let queryKeyValue: Linear
    private let projection: Linear
    private let secondNorm: LayerNorm
    private let mlp: MLP
    private let heads: Int
    private let arithmetic: AttentionArithmetic

    /// Takes the block's weights below `prefix` (such as `visual_encoder.blocks.3`) from a file.
    public init(_ file: ModelFile, _ prefix: String, width: Int, heads: Int, arithmetic: AttentionArithmetic)
        throws(ModelFileError)
    {
        firstNorm = try LayerNorm(file, prefix + ".norm1", width: width, epsilon: 1e-6)
        queryKeyValue = try Linear(file, prefix + ".attn.qkv", inputs: width, outputs: 3 * width)
        projection = try Linear(file, prefix + ".attn.proj", inputs: width, outputs: width)
        secondNorm = try LayerNorm(file, prefix + ".norm2", width: width, epsilon: 1e-6)
        mlp = try MLP(file, first: prefix + ".mlp.fc1", second: prefix + ".mlp.fc2", width: width, hidden: 4 * width)
        self.heads = heads
        self.arithmetic = arithmetic
    }

    /// Replaces `x`, `[tokens, width]`, by the block's output.
    public func callAsFunction(_ x: TensorView, in work: Workspace) {
        let width = x.columns
        work.arena.scoped {
            let middle = work.reserve(x.shape)
            work.arena.scoped {
                let normalized = work.reserve(x.shape)
                firstNorm(x, to: normalized, in: work)
                let joint = work.reserve(Shape(x.rows, 3 * width))
                queryKeyValue(normalized, to: joint, in: work)
                let keysValues = KeysValues(
                    keys: joint.columns(width..<2 * width), values: joint.columns(2 * width..<3 * width), heads: heads,
                    arithmetic: arithmetic, in: work)
                keysValues.attend(joint.columns(0..<width), heads: heads, to: normalized, in: work)
                projection(normalized, residual: x, to: middle, in: work)
            }
            let normalized = work.reserve(x.shape)
            secondNorm(middle, to: normalized, in: work)
            mlp(normalized, residual: middle, to: x, in: work)
        }
    }
}
