import AlbefFiles

/// The type of a checkpoint's numbers. Raw values are the names of the safetensors format.
public enum CheckpointElementType: String, Sendable {
    case float64 = "F64"
    case float32 = "F32"
    case float16 = "F16"
    case bfloat16 = "BF16"
    case int64 = "I64"
    case int32 = "I32"
    case int16 = "I16"
    case int8 = "I8"
    case uint8 = "U8"
    case bool = "BOOL"

    /// Bytes of one element.
    public var byteWidth: Int {
        switch self {
        case .float64, .int64: 8
        case .float32, .int32: 4
        case .float16, .bfloat16, .int16: 2
        case .int8, .uint8, .bool: 1
        }
    }

    /// True if the numbers can be weights.
    public var isFloatingPoint: Bool {
        switch self {
        case .float64, .float32, .float16, .bfloat16: true
        case .int64, .int32, .int16, .int8, .uint8, .bool: false
        }
    }
}

/// What a checkpoint says about one of its tensors.
public struct CheckpointTensor: Sendable, Equatable {
    /// Its name in the checkpoint.
    public let name: String
    public let type: CheckpointElementType
    /// Dimensions as PyTorch has them, outermost first; empty for a scalar.
    public let shape: [Int]
}

/// A file of named tensors. It is mapped: opening one reads its table, and a tensor's numbers are read when they are asked
/// for, one tensor at a time.
public protocol Checkpoint: Sendable {
    /// The file.
    var path: String { get }
    /// Its format, for people.
    var format: String { get }
    /// All tensors, sorted by name.
    var tensors: [CheckpointTensor] { get }
    /// Texts beside the tensors.
    var metadata: [String: String] { get }

    /// A tensor's numbers in row-major order, converted to float32.
    ///
    /// - Throws: ``ExportError`` if the tensor is missing, holds integers, or is damaged.
    func floats(_ name: String) throws(ExportError) -> [Float]

    /// True if two tensors are the same memory, so that comparing their numbers is needless.
    func areSameMemory(_ first: String, _ second: String) -> Bool
}

/// Opens a checkpoint: what it is, is told by its first bytes, not by its name.
///
/// - Throws: ``ExportError`` if the file is missing or neither safetensors nor a zip archive of `torch.save`, or damaged.
public func openCheckpoint(_ path: String) throws(ExportError) -> any Checkpoint {
    let file = try fileOperation { () throws(FileError) in try MappedFile(path: path) }
    let start = try file.bytes(0, min(16, file.byteCount))
    if start.starts(with: [0x50, 0x4B]) { return try TorchCheckpoint(file) }
    // torch.save before version 1.6, or with _use_new_zipfile_serialization=False: a pickled magic number comes first.
    if start.starts(with: [0x80, 2, 0x8A, 0x0A, 0x6C, 0xFC, 0x9C, 0x46, 0xF9, 0x20, 0x6A, 0xA8, 0x50, 0x19]) {
        throw .malformed(
            path: path, field: "file",
            reason: "PyTorch's format from before version 1.6, which is not read; "
                + "convert it with Python: torch.save(torch.load(old, map_location='cpu'), new)")
    }
    // The header of safetensors: its length in 8 bytes, then JSON.
    guard start.count > 8, start[8] == UInt8(ascii: "{") else {
        throw .malformed(path: path, field: "file", reason: "neither a .safetensors file nor a .pth file of torch.save")
    }
    return try SafetensorsCheckpoint(path: path)
}

/// Runs something that fails as files fail.
func fileOperation<Result>(_ body: () throws(FileError) -> Result) throws(ExportError) -> Result {
    do { return try body() } catch { throw .file(error) }
}
