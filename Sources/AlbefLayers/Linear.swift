import AlbefKernels
import AlbefModelFile
import AlbefTensor

/// A fully connected layer: `y = x Wᵀ + b`.
///
/// - Shapes: `weight` `[outputs, inputs]` in the checkpoint, packed in the file; `bias` `[outputs]` f32.
/// - Bits: int8 weights quantise each row of `x` on its own, so a row's result does not depend on the rows beside it.
public struct Linear: Sendable {
    /// Its name in the checkpoint, without `.weight`.
    public let name: String
    /// Packed weights, int8 or float32 as the file says.
    public let weight: PackedMatrix
    /// Float32 `[outputs]`.
    public let bias: ConstantTensor

    /// Takes `NAME.weight` and `NAME.bias` from a file.
    ///
    /// - Throws: ``ModelFileError`` naming the tensor that is missing or has another shape.
    public init(_ file: ModelFile, _ name: String, inputs: Int, outputs: Int) throws(ModelFileError) {
        self.init(
            name: name, weight: try file.matrix(name + ".weight", channels: outputs, depth: inputs),
            bias: try file.tensor(name + ".bias", shape: Shape(outputs)))
    }

    /// A layer of given weights; `bias` has one element an output channel.
    public init(name: String, weight: PackedMatrix, bias: ConstantTensor) {
        precondition(bias.shape == Shape(weight.channels) && bias.type == .float32)
        self.name = name
        self.weight = weight
        self.bias = bias
    }

    /// Width of a result row.
    public var outputs: Int { weight.channels }
    /// Width of an input row.
    public var inputs: Int { weight.depth }

    /// Writes `activation(x Wᵀ + b) + residual` into `y`.
    ///
    /// - Parameters:
    ///   - x: `[rows, inputs]`.
    ///   - residual: `[rows, outputs]`; may be `y`.
    ///   - y: `[rows, outputs]`, reserved by the caller.
    public func callAsFunction(
        _ x: TensorView, activation: Activation = .none, residual: TensorView? = nil, to y: TensorView, in work: Workspace
    ) {
        work.observe(inputOf: name, x)
        work.kernels.linear(
            x, weight, bias: bias, activation: activation, residual: residual, to: y, in: work.arena)
    }

    /// The same for rows that several layers read: they are quantised once for all of them.
    public func callAsFunction(
        _ x: SharedRows, activation: Activation = .none, residual: TensorView? = nil, to y: TensorView, in work: Workspace
    ) {
        if let quantized = x.quantized, case .int8(let matrix) = weight {
            work.observe(inputOf: name, x.rows)
            work.kernels.linear(
                quantized, matrix, bias: bias, activation: activation, residual: residual, to: y, in: work.arena)
        } else {
            self(x.rows, activation: activation, residual: residual, to: y, in: work)
        }
    }

    /// The same for the rows of `x` normalised by `norm`, which are quantised as they are made where nothing else needs them.
    ///
    /// - Parameter record: Of the norm, filled where given; the bytes of `y` stay the same.
    func callAsFunction(
        normalized x: TensorView, by norm: LayerNorm, record: LayerNorm.Record? = nil, activation: Activation = .none,
        to y: TensorView, in work: Workspace
    ) {
        work.arena.scoped {
            if case .int8(let matrix) = weight, record == nil, work.inputObserver == nil {
                work.kernels.linear(
                    norm.quantized(x, in: work), matrix, bias: bias, activation: activation, to: y, in: work.arena)
            } else {
                let rows = work.reserve(x.shape)
                norm(x, record: record, to: rows, in: work)
                self(rows, activation: activation, to: y, in: work)
            }
        }
    }

    /// The gradient at the input, `g W`, from the same packed weights, written into `x` or added to what it holds.
    ///
    /// - Parameters:
    ///   - g: `[rows, outputs]`, the gradient at the output before any activation.
    ///   - x: `[rows, inputs]`.
    public func backward(_ g: TensorView, accumulate: Bool = false, to x: TensorView, in work: Workspace) {
        work.kernels.linearBackward(g, weight, to: x, accumulate: accumulate, in: work.arena)
    }
}

/// Rows that several projections read, with their quantisation made once where a projection has int8 weights.
///
/// A projection gives the same bytes for shared rows as for the plain ones.
public struct SharedRows: BitwiseCopyable {
    /// Float32 `[rows, width]`.
    public let rows: TensorView
    /// The same rows as the int8 product reads them; nil when no projection needs them.
    public let quantized: QuantizedRows?

    /// Quantises `rows` (into the arena, until the caller releases it) if any of the layers has int8 weights.
    public init(_ rows: TensorView, for first: Linear, _ second: Linear? = nil, _ third: Linear? = nil, in work: Workspace) {
        self.init(rows, quantizing: first.isInt8 || second?.isInt8 == true || third?.isInt8 == true, in: work)
    }

    /// Quantises `rows` if `quantizing`.
    public init(_ rows: TensorView, quantizing: Bool, in work: Workspace) {
        self.rows = rows
        quantized = quantizing ? work.kernels.quantizeRows(rows, in: work.arena) : nil
    }

    /// Three layers of equal width on these rows, at once where all are int8; the bytes are those of each alone.
    func project(
        _ first: Linear, to a: TensorView, _ second: Linear, to b: TensorView, _ third: Linear, to c: TensorView,
        in work: Workspace
    ) {
        if let quantized, case .int8(let x) = first.weight, case .int8(let y) = second.weight,
            case .int8(let z) = third.weight
        {
            work.observe(inputOf: first.name, rows)
            work.observe(inputOf: second.name, rows)
            work.observe(inputOf: third.name, rows)
            work.kernels.linear(
                quantized, Kernels.Projection(x, bias: first.bias, to: a), Kernels.Projection(y, bias: second.bias, to: b),
                Kernels.Projection(z, bias: third.bias, to: c), in: work.arena)
        } else {
            first(self, to: a, in: work)
            second(self, to: b, in: work)
            third(self, to: c, in: work)
        }
    }
}

extension Linear {
    /// True when the weights are int8.
    public var isInt8: Bool {
        if case .int8 = weight { true } else { false }
    }
}
