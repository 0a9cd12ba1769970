import AlbefKernels
import AlbefTensor

/// How a layer computes its attention. Fixed by the kind of attention and the model file's precision, never by the
/// machine, the batch or an observer.
public enum AttentionArithmetic: Sendable {
    /// Float products and a float softmax.
    case float32
    /// 8-bit queries, keys, values and probabilities with exact integer products; over image tokens of int8 models.
    case int8
}

/// Projected keys and values of one sequence, for any number of queries.
public struct KeysValues: BitwiseCopyable {
    /// Float32 `[tokens, width]`, head after head within a row.
    public let keys: TensorView
    /// Float32 `[tokens, width]`.
    public let values: TensorView
    /// Their 8-bit form, where the layer computes in int8.
    public let quantized: QuantizedKeysValues?

    /// Keeps the views, and quantises them into the arena for int8 arithmetic.
    public init(
        keys: TensorView, values: TensorView, heads: Int, arithmetic: AttentionArithmetic, in work: Workspace
    ) {
        self.keys = keys
        self.values = values
        quantized =
            arithmetic == .int8
            ? work.kernels.quantizeKeysValues(keys, values, heads: heads, in: work.arena) : nil
    }

    /// Attends with each row of `queries`, `[rows, width]`, and writes the mixed values into `y` of the same shape.
    ///
    /// Every query row is independent of the others unless `causal`.
    public func attend(_ queries: TensorView, heads: Int, causal: Bool = false, to y: TensorView, in work: Workspace) {
        if let quantized {
            work.kernels.attention(queries, quantized, heads: heads, to: y, in: work.arena)
        } else {
            work.kernels.attention(queries, keys, values, heads: heads, causal: causal, to: y, in: work.arena)
        }
    }
}
