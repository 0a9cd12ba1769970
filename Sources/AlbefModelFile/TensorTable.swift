import AlbefTensor

/// The rows of the tensor table, checked: the tensors' blocks fill the weights without holes or overlaps.
struct TensorTable {
    let tensors: [TensorEntry]
    let index: [String: Int]

    /// - Parameters:
    ///   - bytes: The section's bytes.
    ///   - weightsSize: Bytes of the weights section.
    init(_ bytes: [UInt8], weightsSize: Int, path: String) throws(ModelFileError) {
        func malformed(_ field: String, _ found: String, _ expected: String) -> ModelFileError {
            .malformed(path: path, field: "tensor table: " + field, found: found, expected: expected)
        }
        guard bytes.count >= Format.tensorTableHead else {
            throw malformed("size", "\(bytes.count) bytes", "at least \(Format.tensorTableHead)")
        }
        let count = Int(bytes.uint32(at: 0))
        let nameBytes = Int(bytes.uint32(at: 4))
        let namesStart = Format.tensorTableHead + count * Format.tensorRowSize
        guard namesStart + nameBytes == bytes.count, bytes.uint64(at: 8) == 0 else {
            throw malformed(
                "size", "\(bytes.count) bytes",
                "\(namesStart + nameBytes) for \(count) rows and \(nameBytes) bytes of names")
        }
        var tensors: [TensorEntry] = []
        var index: [String: Int] = [:]
        tensors.reserveCapacity(count)
        index.reserveCapacity(count)
        var nameEnd = 0
        var place = 0
        for number in 0..<count {
            let row = Format.tensorTableHead + number * Format.tensorRowSize
            let (nameOffset, nameLength) = (Int(bytes.uint32(at: row + 72)), Int(bytes.uint32(at: row + 76)))
            guard nameOffset == nameEnd, (1...Format.maximumNameLength).contains(nameLength),
                nameLength <= nameBytes - nameEnd
            else {
                throw malformed(
                    "name of row \(number)", "\(nameLength) bytes at \(nameOffset)",
                    "1 to \(Format.maximumNameLength) bytes at \(nameEnd)")
            }
            nameEnd += nameLength
            let nameSlice = bytes[(namesStart + nameOffset)..<(namesStart + nameEnd)]
            guard isName(nameSlice) else {
                throw malformed("name of row \(number)", "other characters", "printable ASCII without spaces")
            }
            let name = String(decoding: nameSlice, as: UTF8.self)
            guard index.updateValue(number, forKey: name) == nil else {
                throw malformed("name '\(name)'", "there twice", "every name once")
            }
            let entry = try TensorTable.entry(bytes, row, name: name, path: path)
            for (block, offset) in entry.offsets.enumerated() {
                place = Format.aligned(place)
                guard offset == place, entry.sizes[block] <= weightsSize - place else {
                    throw malformed(
                        "block \(block) of '\(name)'", "\(entry.sizes[block]) bytes at \(offset)",
                        "to begin at \(place), behind the block before, and to end in the weights' \(weightsSize) bytes")
                }
                place += entry.sizes[block]
            }
            tensors.append(entry)
        }
        guard nameEnd == nameBytes else { throw malformed("names", "\(nameBytes) bytes", "\(nameEnd)") }
        guard place == weightsSize else { throw malformed("weights", "\(weightsSize) bytes", "\(place) for all tensors") }
        self.tensors = tensors
        self.index = index
    }

    private static func entry(_ bytes: [UInt8], _ row: Int, name: String, path: String) throws(ModelFileError)
        -> TensorEntry
    {
        func malformed(_ field: String, _ found: String, _ expected: String) -> ModelFileError {
            .malformed(path: path, field: "tensor table: \(field) of '\(name)'", found: found, expected: expected)
        }
        let (type, layout) = (bytes.uint32(at: row), bytes.uint32(at: row + 4))
        guard let kind = TensorEntry.kind(type: type, layout: layout) else {
            throw malformed("type and layout", "\(type), \(layout)", "0, 0 or 0, 1 or 3, 1")
        }
        let rank = Int(bytes.uint32(at: row + 8))
        guard bytes.uint32(at: row + 12) == 0 else { throw malformed("flags", "\(bytes.uint32(at: row + 12))", "0") }
        let stored = (0..<Shape.maximumRank).map { bytes.int(at: row + 16 + 8 * $0) ?? -1 }
        guard rank <= Shape.maximumRank, stored[..<rank].allSatisfy({ $0 > 0 }), stored[rank...].allSatisfy({ $0 == 0 }),
            let shape = Shape(validating: Array(stored[..<rank])), let sizes = TensorEntry.blockSizes(kind, shape)
        else {
            throw malformed(
                "shape", "\(stored) of rank \(rank)",
                "at most 4 dimensions above 0, 2 for a matrix, the depth of int8 at most \(Format.maximumInt8Depth)")
        }
        let offsets = (0..<3).map { bytes.int(at: row + 48 + 8 * $0) ?? -1 }
        guard offsets[sizes.count...].allSatisfy({ $0 == 0 }) else {
            throw malformed("offsets", "\(offsets)", "zeros for blocks that it does not have")
        }
        return TensorEntry(name: name, kind: kind, shape: shape, offsets: Array(offsets[..<sizes.count]), sizes: sizes)
    }

    /// The bytes of a table that ``init(_:weightsSize:path:)`` reads.
    static func encode(_ tensors: [TensorEntry]) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.append(little: UInt32(tensors.count))
        bytes.append(little: UInt32(tensors.reduce(0) { $0 + $1.name.utf8.count }))
        bytes.append(little: 0)
        var nameOffset = 0
        for tensor in tensors {
            bytes.append(little: tensor.codes.type)
            bytes.append(little: tensor.codes.layout)
            bytes.append(little: UInt32(tensor.shape.rank))
            bytes.append(little: UInt32(0))
            for axis in 0..<Shape.maximumRank { bytes.append(little: axis < tensor.shape.rank ? tensor.shape[axis] : 0) }
            for block in 0..<3 { bytes.append(little: block < tensor.offsets.count ? tensor.offsets[block] : 0) }
            bytes.append(little: UInt32(nameOffset))
            bytes.append(little: UInt32(tensor.name.utf8.count))
            nameOffset += tensor.name.utf8.count
        }
        for tensor in tensors { bytes += tensor.name.utf8 }
        return bytes
    }
}

/// True for what a tensor may be called: printable ASCII without spaces, so that names compare by their bytes and errors stay
/// on one line.
func isName<Bytes: Collection<UInt8>>(_ bytes: Bytes) -> Bool {
    (1...Format.maximumNameLength).contains(bytes.count) && bytes.allSatisfy { (0x21...0x7E).contains($0) }
}
