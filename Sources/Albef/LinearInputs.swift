import AlbefKernels
import AlbefLayers
import AlbefTensor

/// What a linear layer read in some passes.
public struct LinearInput: Sendable {
    /// The greatest absolute value of each input.
    public fileprivate(set) var greatest: [Float]
    /// A sample of rows, each as long as `greatest`.
    public fileprivate(set) var rows: [Float] = []
}

/// Collects what chosen linear layers read.
public final class LinearInputRecorder: LinearInputObserver {
    /// What each layer has read, by the layer's name in the checkpoint.
    public private(set) var inputs: [String: LinearInput] = [:]
    private let layers: Set<String>
    private let rowLimit: Int

    /// Rows that are sampled of one call at most, so that many passes have a part in the sample.
    private static let rowsPerCall = 8

    /// - Parameters:
    ///   - layers: Names without `.weight`.
    ///   - rowLimit: Rows of a layer that are kept at most.
    public init(layers: Set<String>, rowLimit: Int) {
        self.layers = layers
        self.rowLimit = rowLimit
    }

    public func observe(inputOf layer: String, _ x: TensorView, in arena: Arena) {
        guard layers.contains(layer), x.rows > 0 else { return }
        var input = inputs[layer] ?? LinearInput(greatest: Array(repeating: 0, count: x.columns))
        inputs[layer] = nil  // The arrays below have one owner and are changed in place.
        Kernels.raise(&input.greatest, toColumnsOf: x, in: arena)
        let wanted = min(LinearInputRecorder.rowsPerCall, x.rows, rowLimit - input.rows.count / x.columns)
        for number in 0..<max(0, wanted) {
            let row = number * x.rows / wanted
            input.rows += arena.read(x.rows(row..<row + 1), as: Float.self)
        }
        inputs[layer] = input
    }
}

extension Session {
    /// Takes a trace while `recorder` collects what linear layers read.
    public func trace(_ request: TraceRequest, recordingInputsTo recorder: LinearInputRecorder) throws(AlbefError) -> Trace {
        try observed(inputsBy: recorder) { () throws(AlbefError) in try trace(request) }
    }
}
