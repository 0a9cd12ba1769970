/// The checked header of a safetensors file: 8 bytes with its length, then JSON, then the tensors' bytes.
struct SafetensorsHeader {
    /// In the order of their bytes.
    let entries: [SafetensorsFile.Entry]
    let metadata: [String: String]

    init(_ file: MappedFile) throws(FileError) {
        let path = file.path
        func malformed(_ field: String, _ found: String, _ expected: String) -> FileError {
            .malformed(path: path, field: field, found: found, expected: expected)
        }
        guard let prefix = file.copy(at: 0, count: 8) else {
            throw malformed("file size", "\(file.byteCount) bytes", "at least 8 bytes of header length")
        }
        let declared = prefix.reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        guard declared <= UInt64(Safetensors.maximumHeader) else {
            throw malformed("header length", "\(declared) bytes", "at most \(Safetensors.maximumHeader) bytes")
        }
        let size = Int(declared)
        guard let header = file.copy(at: 8, count: size) else {
            throw malformed("header length", "\(size) bytes", "at most the \(file.byteCount - 8) bytes that follow")
        }
        guard header.first == UInt8(ascii: "{") else { throw malformed("header", "something else", "a JSON object") }
        let json: JSONValue
        do throws(JSONError) { json = try JSONValue(parsing: header, maximumDepth: 8) } catch {
            throw malformed("header at byte \(8 + error.position)", error.found, error.expected)
        }
        var entries: [SafetensorsFile.Entry] = []
        var metadata: [String: String] = [:]
        for member in json.members ?? [] {
            if member.key == "__metadata__" {
                guard let texts = member.value.members else {
                    throw malformed("__metadata__", member.value.kindName, "an object of strings")
                }
                for text in texts {
                    guard let value = text.value.string else {
                        throw malformed("__metadata__ '\(text.key)'", text.value.kindName, "a string")
                    }
                    metadata[text.key] = value
                }
            } else {
                entries.append(try SafetensorsHeader.entry(member, dataStart: 8 + size, path: path))
            }
        }
        entries.sort {
            ($0.byteRange.lowerBound, $0.byteRange.upperBound) < ($1.byteRange.lowerBound, $1.byteRange.upperBound)
        }
        var end = 8 + size
        for entry in entries {
            guard entry.byteRange.lowerBound == end else {
                throw malformed(
                    "start of tensor '\(entry.name)'", "data byte \(entry.byteRange.lowerBound - 8 - size)",
                    "\(end - 8 - size), where the tensor before ends")
            }
            end = entry.byteRange.upperBound
        }
        guard end == file.byteCount else {
            throw malformed("file size", "\(file.byteCount) bytes", "\(end) bytes, where the last tensor ends")
        }
        self.entries = entries
        self.metadata = metadata
    }

    private static func entry(_ member: JSONMember, dataStart: Int, path: String) throws(FileError)
        -> SafetensorsFile.Entry
    {
        let (name, value) = (member.key, member.value)
        func malformed(_ field: String, _ found: String, _ expected: String) -> FileError {
            .malformed(path: path, field: "\(field) of tensor '\(name)'", found: found, expected: expected)
        }
        guard let fields = value.members, fields.count == 3 else {
            throw malformed("description", value.kindName, "an object of dtype, shape and data_offsets")
        }
        guard let typeName = value["dtype"]?.string, let dtype = Safetensors.DType(rawValue: typeName) else {
            let known = Safetensors.DType.allCases.map(\.rawValue).joined(separator: ", ")
            throw malformed("dtype", value["dtype"]?.string ?? "missing", "one of " + known)
        }
        guard let shape = wholeNumbers(value["shape"]) else {
            throw malformed("shape", value["shape"]?.text ?? "missing", "an array of whole numbers")
        }
        guard let offsets = wholeNumbers(value["data_offsets"]), offsets.count == 2, offsets[0] <= offsets[1],
            offsets[1] <= Int.max - dataStart
        else { throw malformed("data_offsets", value["data_offsets"]?.text ?? "missing", "begin and end") }
        var size = dtype.byteWidth
        for dimension in shape {
            let (next, overflow) = size.multipliedReportingOverflow(by: dimension)
            guard !overflow else { throw malformed("shape", "\(shape)", "a size that 64 bits can hold") }
            size = next
        }
        guard size == offsets[1] - offsets[0] else {
            throw malformed("size", "\(offsets[1] - offsets[0]) bytes", "\(size) bytes for \(typeName) \(shape)")
        }
        return SafetensorsFile.Entry(
            name: name, dtype: dtype, shape: shape, byteRange: (dataStart + offsets[0])..<(dataStart + offsets[1]))
    }

    private static func wholeNumbers(_ value: JSONValue?) -> [Int]? {
        guard let array = value?.array else { return nil }
        var numbers: [Int] = []
        for element in array {
            guard case .number(.integer(let number)) = element, number >= 0 else { return nil }
            numbers.append(number)
        }
        return numbers
    }
}
