import AlbefTensor

/// One kernel that is no linear layer, with made-up inputs, to be timed.
public final class RowsWorkload {
    /// What is computed, with its sizes.
    public enum Operation: Sendable, Equatable {
        /// Queries meet quantised keys and values, `heads` of `width` columns each.
        case attention(queries: Int, keys: Int, heads: Int, width: Int)
        /// Keys and values of some tokens are quantised and laid out.
        case quantizeKeysValues(tokens: Int, heads: Int, width: Int)
        case quantizeRows(rows: Int, columns: Int)
        case layerNorm(rows: Int, columns: Int)
    }

    public let operation: Operation
    /// Room for the scratch of any number of threads; pages that are not written cost no memory.
    private static let scratch = 1 << 28
    private let arena: Arena
    private let x, y: TensorView
    private let ones: ConstantTensor
    private let kv: (k: TensorView, v: TensorView)

    public init(_ operation: Operation) {
        self.operation = operation
        let (rows, columns, keys) =
            switch operation {
            case .attention(let queries, let keys, let heads, let width): (queries, heads * width, keys)
            case .quantizeKeysValues(let tokens, let heads, let width): (1, heads * width, tokens)
            case .quantizeRows(let rows, let columns), .layerNorm(let rows, let columns): (rows, columns, 1)
            }
        // Quantised forms take less than the floats.
        arena = Arena(capacity: 16 * (rows + keys + 64) * (columns + 64) + RowsWorkload.scratch)
        x = arena.reserve(Shape(rows, columns))
        y = arena.reserve(Shape(rows, columns))
        kv = (arena.reserve(Shape(keys, columns)), arena.reserve(Shape(keys, columns)))
        ones = ConstantTensor([Float](repeating: 1, count: columns), shape: Shape(columns))
        arena.write(madeUpNumbers(rows * columns).span, to: x)
        arena.write(madeUpNumbers(keys * columns).span, to: kv.k)
        arena.write(madeUpNumbers(keys * columns).span, to: kv.v)
    }

    /// Multiply-adds of the int8 products; 0 where there are none.
    public var multiplyAdds: Double {
        guard case .attention(let queries, let keys, let heads, let width) = operation else { return 0 }
        return 2 * Double(queries) * Double(keys) * Double(heads * width)
    }

    /// Bytes of all inputs and results, each counted once.
    public var bytes: Double {
        switch operation {
        case .attention(let queries, let keys, let heads, let width): Double((8 * queries + 2 * keys) * heads * width)
        case .quantizeKeysValues(let tokens, let heads, let width): Double(10 * tokens * heads * width)
        case .quantizeRows(let rows, let columns): Double(5 * rows * columns)
        case .layerNorm(let rows, let columns): Double(8 * rows * columns)
        }
    }

    /// Seconds of one run.
    public func run(_ kernels: Kernels) -> Double {
        let clock = ContinuousClock()
        return arena.scoped {
            var start = clock.now
            switch operation {
            case .attention(_, _, let heads, _):
                let quantized = kernels.quantizeKeysValues(kv.k, kv.v, heads: heads, in: arena)
                start = clock.now
                kernels.attention(x, quantized, heads: heads, to: y, in: arena)
            case .quantizeKeysValues(_, let heads, _):
                _ = kernels.quantizeKeysValues(kv.k, kv.v, heads: heads, in: arena)
            case .quantizeRows: _ = kernels.quantizeRows(x, in: arena)
            case .layerNorm: kernels.layerNorm(x, weight: ones, bias: ones, epsilon: 1e-6, to: y, in: arena)
            }
            return (clock.now - start) / Duration.seconds(1)
        }
    }
}
