/// Collects tensors and writes them as one safetensors file: the same tensors give the same bytes, in whatever order they
/// were added. Wider elements come first, so that every tensor is aligned to the width of its elements; then names decide.
public struct SafetensorsWriter: Sendable {
    private struct Item: Sendable {
        let name: String
        let dtype: Safetensors.DType
        let shape: [Int]
        let content: Content
    }

    /// Arrays are held as they were given, without another copy.
    private enum Content: Sendable {
        case bytes([UInt8])
        case floats([Float])
        case integers([Int32])

        var byteCount: Int {
            switch self {
            case .bytes(let values): values.count
            case .floats(let values): values.count * 4
            case .integers(let values): values.count * 4
            }
        }
    }

    private var items: [Item] = []
    /// Free texts for the header's `__metadata__`.
    public var metadata: [String: String] = [:]

    public init(metadata: [String: String] = [:]) { self.metadata = metadata }

    /// Adds a tensor of little-endian elements.
    ///
    /// - Precondition: there are as many bytes as type and shape say.
    public mutating func add(_ name: String, _ dtype: Safetensors.DType, shape: [Int], bytes: [UInt8]) {
        add(Item(name: name, dtype: dtype, shape: shape, content: .bytes(bytes)))
    }

    /// Adds a float32 tensor.
    public mutating func add(_ name: String, shape: [Int], _ values: [Float]) {
        add(Item(name: name, dtype: .f32, shape: shape, content: .floats(values)))
    }

    /// Adds an int32 tensor.
    public mutating func add(_ name: String, shape: [Int], _ values: [Int32]) {
        add(Item(name: name, dtype: .i32, shape: shape, content: .integers(values)))
    }

    /// Adds a uint8 tensor.
    public mutating func add(_ name: String, shape: [Int], _ values: [UInt8]) {
        add(name, .u8, shape: shape, bytes: values)
    }

    private mutating func add(_ item: Item) {
        precondition(item.content.byteCount == item.shape.reduce(item.dtype.byteWidth, *), "size and shape differ")
        items.append(item)
    }

    /// Writes the file whole or not at all.
    public func write(to path: String) throws(FileError) {
        let ordered = items.sorted {
            $0.dtype.byteWidth != $1.dtype.byteWidth
                ? $0.dtype.byteWidth > $1.dtype.byteWidth : $0.name.utf8.lexicographicallyPrecedes($1.name.utf8)
        }
        var members: [JSONMember] = []
        if !metadata.isEmpty {
            let texts = metadata.sorted { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }
            members.append(JSONMember("__metadata__", .object(texts.map { JSONMember($0.key, .string($0.value)) })))
        }
        var offset = 0
        var names: Set<String> = ["__metadata__"]
        for item in ordered {
            guard names.insert(item.name).inserted else {
                throw .malformed(
                    path: path, field: "name '\(item.name)'", found: "there twice", expected: "every name once")
            }
            let end = offset + item.content.byteCount
            members.append(
                JSONMember(
                    item.name,
                    [
                        "dtype": .string(item.dtype.rawValue), "shape": .array(item.shape.map { JSONValue($0) }),
                        "data_offsets": [JSONValue(offset), JSONValue(end)],
                    ]))
            offset = end
        }
        var header = JSONValue.object(members).utf8
        header += Array(repeating: UInt8(ascii: " "), count: (8 - header.count % 8) % 8)
        guard header.count <= Safetensors.maximumHeader else {
            throw .malformed(
                path: path, field: "header length", found: "\(header.count) bytes",
                expected: "at most \(Safetensors.maximumHeader) bytes")
        }
        let writer = try AtomicFileWriter(path: path)
        try writer.write((0..<8).map { UInt8(truncatingIfNeeded: header.count >> (8 * $0)) } + header)
        for item in ordered {
            switch item.content {
            case .bytes(let values): try unsafe writer.write(values.span.bytes)
            case .floats(let values): try unsafe writer.write(values.span.bytes)
            case .integers(let values): try unsafe writer.write(values.span.bytes)
            }
        }
        try writer.commit()
    }
}
