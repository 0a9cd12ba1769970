import AlbefFiles
import AlbefLayers
import AlbefTensor

/// The tensors of every stage between input and answers, for comparing with another implementation.
///
/// They are copied out of the very passes that answer questions, so a trace shows what production computes.
public struct Trace: Sendable {
    /// One stage's result.
    public struct Tensor: Sendable {
        /// The elements.
        public enum Values: Sendable {
            case float32([Float])
            case int32([Int32])
            case uint8([UInt8])
        }

        /// Such as `image_tokens`, or a block's name in the checkpoint.
        public let name: String
        /// Dimensions, outermost first.
        public let shape: [Int]
        /// Row after row.
        public let values: Values

        public init(name: String, shape: [Int], values: Values) {
            self.name = name
            self.shape = shape
            self.values = values
        }
    }

    /// In the order in which the stages come; blocks, where asked for, behind them.
    public let tensors: [Tensor]
    /// Model digest, arithmetic revision, precision and texts.
    public let metadata: [String: String]

    public init(tensors: [Tensor], metadata: [String: String]) {
        self.tensors = tensors
        self.metadata = metadata
    }

    /// The tensor of a name.
    public func tensor(_ name: String) -> Tensor? { tensors.first { $0.name == name } }

    /// Writes a safetensors file; the same trace gives the same bytes.
    public func write(to path: String) throws(AlbefError) {
        var writer = SafetensorsWriter(metadata: metadata)
        for tensor in tensors {
            switch tensor.values {
            case .float32(let values): writer.add(tensor.name, shape: tensor.shape, values)
            case .int32(let values): writer.add(tensor.name, shape: tensor.shape, values)
            case .uint8(let values): writer.add(tensor.name, shape: tensor.shape, values)
            }
        }
        do { try writer.write(to: path) } catch { throw .file(error) }
    }
}

extension Trace.Tensor {
    /// The type's name in safetensors: `F32`, `I32` or `U8`.
    public var dtype: String {
        switch values {
        case .float32: "F32"
        case .int32: "I32"
        case .uint8: "U8"
        }
    }

    /// The elements as floats; integers are converted.
    public var floats: [Float] {
        switch values {
        case .float32(let values): values
        case .int32(let values): values.map(Float.init)
        case .uint8(let values): values.map(Float.init)
        }
    }

    /// The elements in little-endian order.
    public var bytes: [UInt8] {
        switch values {
        case .float32(let values): values.flatMap { littleEndian($0.bitPattern) }
        case .int32(let values): values.flatMap { littleEndian($0) }
        case .uint8(let values): values
        }
    }

    /// What identifies the tensor's content: SHA-256, in hex, over the type's name, the rank as u32, each dimension as u64
    /// and the elements, integers and elements little-endian.
    public var digest: String {
        var content = Array(dtype.utf8) + littleEndian(UInt32(shape.count))
        for dimension in shape { content += littleEndian(UInt64(dimension)) }
        content += bytes
        return SHA256.hex(of: content)
    }
}

/// The bytes of an integer, lowest first.
private func littleEndian<Integer: FixedWidthInteger>(_ value: Integer) -> [UInt8] {
    (0..<Integer.bitWidth / 8).map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) }
}

/// Copies the tensors that passes show, the first of each name.
final class TraceRecorder: TensorObserver {
    /// What the names of tensors end with from now on, such as `_left`.
    var suffix = ""
    private let includesBlocks: Bool
    private var stages: [Trace.Tensor] = []
    private var blocks: [Trace.Tensor] = []
    private var seen: Set<String> = []

    /// - Parameter blocks: Whether to keep each block's output too.
    init(blocks: Bool) { includesBlocks = blocks }

    /// Stages, then blocks.
    var tensors: [Trace.Tensor] { stages + blocks }

    func observe(_ stage: String, _ tensor: TensorView, in arena: Arena) {
        let name = stage + suffix
        // Only names of blocks, which are those of the checkpoint, have dots.
        let isBlock = name.contains(".")
        if isBlock && !includesBlocks || !seen.insert(name).inserted { return }
        let values: Trace.Tensor.Values
        switch tensor.type {
        case .float32: values = .float32(arena.read(tensor))
        case .int32: values = .int32(arena.read(tensor))
        case .uint8: values = .uint8(arena.read(tensor))
        case .int8: return
        }
        let copy = Trace.Tensor(name: name, shape: tensor.shape.array, values: values)
        if isBlock { blocks.append(copy) } else { stages.append(copy) }
    }
}
