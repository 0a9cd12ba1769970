import AlbefKernels
import AlbefModelFile
import AlbefTensor

/// Turns token ids into rows: word, type and position embedding added, then normalised.
///
/// The word table also serves as the output matrix of a language head; it is packed once and gathered from as it lies.
///
/// - Source: BERT, arXiv:1810.04805; token types are always 0, positions always begin at 0.
public struct Embeddings: Sendable {
    /// One channel a vocabulary entry, `[vocabulary, width]`.
    public let words: PackedMatrix
    /// Float32 `[positions, width]`.
    public let positions: ConstantTensor
    /// Float32 `[2, width]`; only row 0 is used.
    public let types: ConstantTensor
    private let norm: LayerNorm

    /// Takes the four embedding tensors below `prefix` from a file.
    public init(_ file: ModelFile, _ prefix: String, vocabulary: Int, positions count: Int, width: Int)
        throws(ModelFileError)
    {
        words = try file.matrix(prefix + ".word_embeddings.weight", channels: vocabulary, depth: width)
        positions = try file.tensor(prefix + ".position_embeddings.weight", shape: Shape(count, width))
        types = try file.tensor(prefix + ".token_type_embeddings.weight", shape: Shape(2, width))
        norm = try LayerNorm(file, prefix + ".LayerNorm", width: width, epsilon: 1e-12)
    }

    /// Width of a row.
    public var width: Int { words.depth }

    /// Embeds the tokens of any number of sequences.
    ///
    /// - Parameters:
    ///   - ids: Int32 `[tokens]`, each below the vocabulary's size.
    ///   - places: Int32 `[tokens]`: where each stands in its sequence, below the number of positions.
    ///   - y: `[tokens, width]`.
    public func callAsFunction(_ ids: TensorView, at places: TensorView, to y: TensorView, in work: Workspace) {
        work.kernels.embed(ids, at: places, words: words, positions: positions, types: types, to: y, in: work.arena)
        norm(y, to: y, in: work)
    }

    /// Embeds sequences that lie one after another, each from its beginning.
    ///
    /// - Parameters:
    ///   - ids: Int32 `[tokens]`.
    ///   - sequences: Together all tokens.
    ///   - y: `[tokens, width]`.
    public func callAsFunction(_ ids: TensorView, sequences: [Range<Int>], to y: TensorView, in work: Workspace) {
        work.arena.scoped {
            let places = work.arena.reserve(ids.shape, .int32)
            for index in sequences.indices {
                for place in 0..<sequences[index].count {
                    work.arena.set(sequences[index].lowerBound + place, of: places, to: Int32(place))
                }
            }
            self(ids, at: places, to: y, in: work)
        }
    }
}

/// Cuts a square picture into patches, projects each to a token, puts the class token first and adds positions.
///
/// - Shapes: pixels `[3, R, R]` f32; result `[1 + (R/p)², width]`; patches in row-major order, each flattened as
///   (channel, y, x).
/// - Source: ViT, arXiv:2010.11929; ALBEF's `visual_encoder.patch_embed`.
public struct PatchEmbedding: Sendable {
    /// Side of a patch in pixels.
    public let patch: Int
    private let projection: Linear
    private let classToken: ConstantTensor
    private let positions: ConstantTensor

    /// Takes `patch_embed.proj`, `cls_token` and `pos_embed` below `prefix` from a file.
    public init(_ file: ModelFile, _ prefix: String, patch: Int, tokens: Int, width: Int) throws(ModelFileError) {
        self.patch = patch
        projection = try Linear(file, prefix + ".patch_embed.proj", inputs: 3 * patch * patch, outputs: width)
        classToken = try file.tensor(prefix + ".cls_token", shape: Shape(width))
        positions = try file.tensor(prefix + ".pos_embed", shape: Shape(tokens, width))
    }

    /// - Parameters:
    ///   - pixels: Normalised, `[3, R, R]`.
    ///   - y: `[1 + (R/p)², width]`.
    public func callAsFunction(_ pixels: TensorView, to y: TensorView, in work: Workspace) {
        let grid = pixels.shape[1] / patch
        work.arena.scoped {
            let projected = work.reserve(Shape(grid * grid, y.columns))
            work.arena.scoped {
                let patches = work.reserve(Shape(grid * grid, projection.inputs))
                work.kernels.patches(pixels, patch: patch, to: patches, in: work.arena)
                projection(patches, to: projected, in: work)
            }
            work.kernels.imageTokens(projected, cls: classToken, positions: positions, to: y, in: work.arena)
        }
    }
}
