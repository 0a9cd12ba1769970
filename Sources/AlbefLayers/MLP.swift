import AlbefKernels
import AlbefModelFile
import AlbefTensor

/// Two linear layers with a GELU between them, and a residual added to the result: `W2 · gelu(W1 x + b1) + b2 + residual`.
///
/// - Shapes: `x`, `residual`, `y` `[rows, width]`; hidden `[rows, hidden]`. GELU is the exact erf form, or that of int8 layers
///   where the first layer is one.
public struct MLP: Sendable {
    /// width → hidden.
    public let first: Linear
    /// hidden → width.
    public let second: Linear

    /// Takes both layers from a file by their names in the checkpoint.
    public init(_ file: ModelFile, first: String, second: String, width: Int, hidden: Int) throws(ModelFileError) {
        self.first = try Linear(file, first, inputs: width, outputs: hidden)
        self.second = try Linear(file, second, inputs: hidden, outputs: width)
    }

    /// - Parameters:
    ///   - preactivation: `[rows, hidden]`; receives `W1 x + b1` where given. The bytes of `y` stay the same.
    ///   - y: Not `x`; may be `residual` unless that is `x`.
    public func callAsFunction(
        _ x: TensorView, residual: TensorView, preactivation: TensorView? = nil, to y: TensorView, in work: Workspace
    ) {
        work.arena.scoped {
            let hidden = work.reserve(Shape(x.rows, first.outputs))
            if let preactivation {
                first(x, to: preactivation, in: work)
                work.kernels.map(first.isInt8 ? .geluInt8 : .gelu, preactivation, to: hidden, in: work.arena)
            } else {
                first(x, activation: .gelu, to: hidden, in: work)
            }
            second(hidden, residual: residual, to: y, in: work)
        }
    }

    /// The same for the rows of `x` normalised by `norm`.
    func callAsFunction(
        normalized x: TensorView, by norm: LayerNorm, residual: TensorView, to y: TensorView, in work: Workspace
    ) {
        work.arena.scoped {
            let hidden = work.reserve(Shape(x.rows, first.outputs))
            first(normalized: x, by: norm, activation: .gelu, to: hidden, in: work)
            second(hidden, residual: residual, to: y, in: work)
        }
    }

    /// Writes the gradient that passes through both layers into `x`, or adds it to what `x` holds; `[rows, width]`. `x` may
    /// be `g`.
    public func backward(
        _ g: TensorView, preactivation: TensorView, accumulate: Bool = false, to x: TensorView, in work: Workspace
    ) {
        work.arena.scoped {
            let hidden = work.reserve(preactivation.shape)
            second.backward(g, to: hidden, in: work)
            work.kernels.geluBackward(hidden, preactivation: preactivation, to: hidden, in: work.arena)
            first.backward(hidden, accumulate: accumulate, to: x, in: work)
        }
    }
}

/// BERT's feed-forward block: `LayerNorm(MLP(x) + x)`.
public struct FeedForward: Sendable {
    /// `intermediate.dense` and `output.dense`.
    public let mlp: MLP
    /// `output.LayerNorm`.
    public let norm: LayerNorm

    /// Takes `intermediate.dense`, `output.dense` and `output.LayerNorm` below `prefix` from a file.
    public init(_ file: ModelFile, _ prefix: String, width: Int, hidden: Int) throws(ModelFileError) {
        mlp = try MLP(
            file, first: prefix + ".intermediate.dense", second: prefix + ".output.dense", width: width, hidden: hidden)
        norm = try LayerNorm(file, prefix + ".output.LayerNorm", width: width, epsilon: 1e-12)
    }

    /// - Parameters:
    ///   - x: `[rows, width]`.
    ///   - y: `[rows, width]`, not `x`.
    public func callAsFunction(_ x: TensorView, record: Record? = nil, to y: TensorView, in work: Workspace) {
        mlp(x, residual: x, preactivation: record?.preactivation, to: y, in: work)
        norm(y, record: record?.norm, to: y, in: work)
    }

    /// What a forward pass leaves for the gradient.
    public struct Record: BitwiseCopyable {
        /// `[rows, hidden]`: the first layer's output before the GELU.
        public let preactivation: TensorView
        /// Of the block's LayerNorm.
        public let norm: LayerNorm.Record
    }

    /// Room for what the gradient of `rows` rows needs.
    func reserveRecord(rows: Int, in work: Workspace) -> Record {
        Record(
            preactivation: work.reserve(Shape(rows, mlp.first.outputs)),
            norm: LayerNorm.Record(rows: rows, width: mlp.first.inputs, in: work))
    }

    /// The gradient at the input of a recorded pass; `[rows, width]` both, `x` is not `g`.
    public func backward(_ g: TensorView, _ record: Record, to x: TensorView, in work: Workspace) {
        norm.backward(g, record.norm, to: x, in: work)
        mlp.backward(x, preactivation: record.preactivation, accumulate: true, to: x, in: work)
    }
}
