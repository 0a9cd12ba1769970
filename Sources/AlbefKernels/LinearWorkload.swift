import AlbefTensor

/// One linear layer with made-up weights and activations, to be timed in each of its forms.
public final class LinearWorkload {
    /// Rows of activations, output channels, inputs.
    public let rows, channels, depth: Int
    private let arena: Arena
    private let input, output: TensorView
    private let int8: PackedInt8Matrix
    private let float32: PackedFloat32Matrix
    private let bias: ConstantTensor
    private let activation: Activation
    private let residual: TensorView?

    /// - Parameters:
    ///   - activation: Applied to the outputs.
    ///   - addsResidual: Whether something is added to the outputs, as behind attention and MLP.
    public init(rows: Int, channels: Int, depth: Int, activation: Activation = .none, addsResidual: Bool = false) {
        (self.rows, self.channels, self.depth, self.activation) = (rows, channels, depth, activation)
        let numbers = madeUpNumbers
        let weights = numbers(channels * depth)
        let values = Kernels.packFloat32(weights, channels: channels, depth: depth) ?? []
        guard let packed = Kernels.packInt8(weights, channels: channels, depth: depth) else {
            preconditionFailure("made-up weights are finite")
        }
        int8 = packed.matrix(channels: channels, depth: depth)
        float32 = PackedFloat32Matrix(
            channels: channels, depth: depth,
            values: ConstantTensor(values, shape: PackedLayout.float32Shape(channels: channels, depth: depth)))
        bias = ConstantTensor(numbers(channels), shape: Shape(channels))
        arena = Arena(capacity: 12 * rows * (depth + channels) + 8192)
        input = arena.reserve(Shape(rows, depth))
        output = arena.reserve(Shape(rows, channels))
        residual = addsResidual ? arena.reserve(Shape(rows, channels)) : nil
        if let residual { arena.write(numbers(rows * channels).span, to: residual) }
        let activations = numbers(rows * depth)
        arena.write(activations.span, to: input)
    }

    /// Multiply-adds of the product.
    public var multiplyAdds: Double { Double(rows) * Double(channels) * Double(depth) }

    /// Seconds that each form took.
    public struct Times: Sendable {
        /// Quantising the activations; the int8 product on quantised activations; the float32 product.
        public var quantization, int8, float32: Double

        /// The lesser of each.
        public func best(_ other: Times) -> Times {
            Times(
                quantization: min(quantization, other.quantization), int8: min(int8, other.int8),
                float32: min(float32, other.float32))
        }
    }

    /// Runs each form once.
    public func run(_ kernels: Kernels) -> Times {
        let clock = ContinuousClock()
        return arena.scoped {
            var moments = [clock.now]
            let rows = kernels.quantizeRows(input, in: arena)
            moments.append(clock.now)
            kernels.linear(
                rows, int8, bias: bias, activation: activation, residual: residual, to: output, in: arena)
            moments.append(clock.now)
            kernels.linear(
                input, float32, bias: bias, activation: activation, residual: residual, to: output, in: arena)
            moments.append(clock.now)
            let seconds = zip(moments, moments.dropFirst()).map { ($1 - $0) / Duration.seconds(1) }
            return Times(quantization: seconds[0], int8: seconds[1], float32: seconds[2])
        }
    }
}

/// Numbers in -32768…32767 without a pattern, the same every time.
func madeUpNumbers(_ count: Int) -> [Float] {
    var state: UInt32 = 1
    return (0..<count).map { _ in
        state = state &* 1_664_525 &+ 1_013_904_223
        return Float(Int32(state >> 16) - 32768)
    }
}
