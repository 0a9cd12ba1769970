import AlbefKernels
import AlbefModelFile
import AlbefTensor

/// Normalises each row to zero mean and unit variance, then scales and shifts it.
///
///     y = (x - mean(x)) / sqrt(var(x) + epsilon) * weight + bias
///
/// - Shapes: `x`, result `[rows, width]` f32; `weight`, `bias` `[width]` f32.
/// - Units: the variance is the biased one.
/// - Source: Ba et al., arXiv:1607.06450; `epsilon` is 1e-6 in the image encoder and 1e-12 in every BERT stack.
public struct LayerNorm: Sendable {
    /// Float32 `[width]`.
    public let weight: ConstantTensor
    /// Float32 `[width]`.
    public let bias: ConstantTensor
    /// Added to the variance before the root.
    public let epsilon: Float

    /// Takes `NAME.weight` and `NAME.bias` from a file.
    public init(_ file: ModelFile, _ name: String, width: Int, epsilon: Float) throws(ModelFileError) {
        weight = try file.tensor(name + ".weight", shape: Shape(width))
        bias = try file.tensor(name + ".bias", shape: Shape(width))
        self.epsilon = epsilon
    }

    /// Writes the normalised rows of `x` into `y`, which may be `x`; with a `record`, keeps what the gradient needs. The
    /// bytes of `y` are the same either way.
    public func callAsFunction(_ x: TensorView, record: Record? = nil, to y: TensorView, in work: Workspace) {
        if let record {
            work.kernels.layerNorm(
                x, weight: weight, bias: bias, epsilon: epsilon, to: y, normalized: record.normalized,
                reciprocals: record.reciprocals, in: work.arena)
        } else {
            work.kernels.layerNorm(x, weight: weight, bias: bias, epsilon: epsilon, to: y, in: work.arena)
        }
    }

    /// The normalised rows of `x` as an int8 layer reads them, in the arena until the caller releases it.
    func quantized(_ x: TensorView, in work: Workspace) -> QuantizedRows {
        work.kernels.layerNormQuantized(x, weight: weight, bias: bias, epsilon: epsilon, in: work.arena)
    }

    /// What a forward pass leaves for the gradient.
    public struct Record: BitwiseCopyable {
        /// `[rows, width]`: the rows before scale and shift.
        public let normalized: TensorView
        /// `[rows]`: `1 / sqrt(var + epsilon)`.
        public let reciprocals: TensorView

        init(rows: Int, width: Int, in work: Workspace) {
            normalized = work.reserve(Shape(rows, width))
            reciprocals = work.reserve(Shape(rows))
        }

        private init(normalized: TensorView, reciprocals: TensorView) {
            self.normalized = normalized
            self.reciprocals = reciprocals
        }

        /// That of the first `rows` rows alone.
        func first(_ rows: Int) -> Record {
            Record(
                normalized: normalized.rows(0..<rows),
                reciprocals: TensorView(offset: reciprocals.offset, shape: Shape(rows), type: reciprocals.type))
        }
    }

    /// Room for what the gradient of `rows` rows needs.
    public func reserveRecord(rows: Int, in work: Workspace) -> Record {
        Record(rows: rows, width: weight.shape.count, in: work)
    }

    /// The gradient at the input, from the gradient `g` at the output; `[rows, width]` both.
    public func backward(_ g: TensorView, _ record: Record, to x: TensorView, in work: Workspace) {
        work.kernels.layerNormBackward(
            g, normalized: record.normalized, reciprocals: record.reciprocals, weight: weight, to: x, in: work.arena)
    }
}
