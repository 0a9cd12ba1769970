/// What safetensors files have in common for reading and writing.
public enum Safetensors {
    /// The longest header that is read or written, as in the reference implementation.
    public static let maximumHeader = 100_000_000

    /// Type of a tensor's elements, named as in the file.
    public enum DType: String, Sendable, CaseIterable {
        case f64 = "F64"
        case f32 = "F32"
        case f16 = "F16"
        case bf16 = "BF16"
        case i64 = "I64"
        case i32 = "I32"
        case i16 = "I16"
        case u8 = "U8"
        case i8 = "I8"
        case bool = "BOOL"

        /// Bytes of an element.
        public var byteWidth: Int {
            switch self {
            case .f64, .i64: 8
            case .f32, .i32: 4
            case .f16, .bf16, .i16: 2
            case .u8, .i8, .bool: 1
            }
        }
    }
}
