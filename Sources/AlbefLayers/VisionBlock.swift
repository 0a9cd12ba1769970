import AlbefKernels
import AlbefModelFile
import AlbefTensor

/// One block of the image encoder: `x + attention(norm1(x))`, then `x + MLP(norm2(x))` (pre-norm).
///
/// - Shapes: `x` `[tokens, width]`; queries, keys and values come from one projection, `[tokens, 3 · width]`, in that order,
///   each head after head.
/// - Source: ViT, arXiv:2010.11929; ALBEF's `vit.py`.
public struct VisionBlock: Sendable {
    let firstNorm: LayerNorm
    let queryKeyValue: Linear
    let projection: Linear
    let secondNorm: LayerNorm
    let mlp: MLP
    let heads: Int
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

    /// Writes the block's output of `x`, `[tokens, width]`, into `y`, which may be `x`.
    public func callAsFunction(_ x: TensorView, to y: TensorView, in work: Workspace) {
        work.arena.scoped {
            let middle = work.reserve(x.shape)
            work.arena.scoped {
                let joint = work.reserve(Shape(x.rows, 3 * x.columns))
                attend(x, joint: joint, to: middle, in: work)
            }
            mlp(normalized: middle, by: secondNorm, residual: middle, to: y, in: work)
        }
    }

    /// The first half of the block, `x + attention(norm1(x))`, for the first rows.
    ///
    /// - Parameters:
    ///   - x: `[tokens, width]`.
    ///   - record: Of the norm, filled where given.
    ///   - joint: `[tokens, 3 · width]`: receives queries, keys and values.
    ///   - middle: `[rows, width]`, as many of the first tokens as are wanted; a row has the same bytes whatever their number.
    func attend(
        _ x: TensorView, record: LayerNorm.Record? = nil, joint: TensorView, to middle: TensorView, in work: Workspace
    ) {
        let width = x.columns, rows = 0..<middle.rows
        work.arena.scoped {
            queryKeyValue(normalized: x, by: firstNorm, record: record, to: joint, in: work)
            let keysValues = KeysValues(
                keys: joint.columns(width..<2 * width), values: joint.columns(2 * width..<3 * width), heads: heads,
                arithmetic: arithmetic, in: work)
            let context = work.reserve(middle.shape)
            keysValues.attend(joint.columns(0..<width).rows(rows), heads: heads, to: context, in: work)
            projection(context, residual: x.rows(rows), to: middle, in: work)
        }
    }
}
