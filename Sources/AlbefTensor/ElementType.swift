/// The type of a tensor's elements. Raw values are those of the model file's tensor table.
public enum ElementType: UInt32, Sendable, BitwiseCopyable {
    case float32 = 0
    case int32 = 1
    case uint8 = 2
    case int8 = 3

    /// Bytes of one element.
    public var byteWidth: Int {
        switch self {
        case .float32, .int32: 4
        case .uint8, .int8: 1
        }
    }
}
