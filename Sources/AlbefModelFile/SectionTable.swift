import AlbefFiles

/// The header and the section table of a mapped file, checked.
struct SectionTable {
    let version: String
    let sections: [SectionEntry]
    /// SHA-256 of the header and the table.
    let sum: [UInt8]

    init(_ file: MappedFile) throws(ModelFileError) {
        let path = file.path
        func malformed(_ field: String, _ found: String, _ expected: String) -> ModelFileError {
            .malformed(path: path, field: field, found: found, expected: expected)
        }
        guard file.copy(at: 0, count: Format.magic.count) == Format.magic else { throw .notAModel(path: path) }
        guard let header = file.copy(at: 0, count: Format.headerSize) else {
            throw malformed("file size", "\(file.byteCount) bytes", "at least \(Format.headerSize)")
        }
        // The version comes first: what follows may differ in another one.
        let (major, minor) = (header.uint32(at: 8), header.uint32(at: 12))
        guard major <= Format.major else {
            throw .newerVersion(path: path, found: "\(major).\(minor)", supported: "\(Format.major).\(Format.minor)")
        }
        guard major == Format.major else { throw malformed("format version", "\(major).\(minor)", "\(Format.major).x") }
        guard header.int(at: 16) == file.byteCount else {
            throw malformed("file size", "\(file.byteCount) bytes", "\(header.uint64(at: 16)), as its header says")
        }
        let count = Int(header.uint32(at: 32))
        guard count <= Format.maximumSections else {
            throw malformed("section count", "\(count)", "at most \(Format.maximumSections)")
        }
        guard let offset = header.int(at: 24), offset >= Format.headerSize, offset % Format.alignment == 0,
            offset <= file.byteCount, file.byteCount - offset == count * Format.sectionRowSize,
            let table = file.copy(at: offset, count: count * Format.sectionRowSize)
        else {
            throw malformed(
                "section table", "at byte \(header.uint64(at: 24))",
                "its \(count) rows at the end of the file's \(file.byteCount) bytes")
        }
        var sum = SHA256()
        sum.update(Array(header[..<Format.summedHeaderSize]))
        sum.update(table)
        self.sum = sum.finalize()
        guard self.sum.elementsEqual(header[Format.summedHeaderSize...]) else {
            throw .wrongSum(path: path, part: "header and section table")
        }
        guard header[36..<Format.summedHeaderSize].allSatisfy({ $0 == 0 }) else {
            throw malformed("header", "not zero in its unused bytes", "zeros")
        }
        version = "\(major).\(minor)"
        sections = try SectionTable.rows(table, end: offset, file, allowsUnknown: minor > Format.minor)
    }

    /// Reads the rows; together with the padding between them, the sections fill the file from the header to `end`.
    private static func rows(_ table: [UInt8], end: Int, _ file: MappedFile, allowsUnknown: Bool)
        throws(ModelFileError) -> [SectionEntry]
    {
        let path = file.path
        func malformed(_ field: String, _ found: String, _ expected: String) -> ModelFileError {
            .malformed(path: path, field: field, found: found, expected: expected)
        }
        var sections: [SectionEntry] = []
        var place = Format.headerSize
        for row in stride(from: 0, to: table.count, by: Format.sectionRowSize) {
            let code = table.uint32(at: row)
            let kind = SectionKind(rawValue: code)
            let name = kind.map { "\($0)" } ?? "section \(code)"
            guard kind != nil || allowsUnknown else { throw malformed("section kind", "\(code)", "1 to 6") }
            if let last = sections.last, last.code >= code {
                throw malformed("order of sections", "\(name) behind \(last.name)", "ascending kinds, each once")
            }
            let encoding = table.uint32(at: row + 4)
            guard encoding <= 1, encoding == 0 || kind != .weights && kind != .tensors else {
                throw malformed("encoding of \(name)", "\(encoding)", "0 (as it is) or, for texts, 1 (zstd)")
            }
            guard let offset = table.int(at: row + 8), offset == place else {
                throw malformed("offset of \(name)", "\(table.uint64(at: row + 8))", "\(place), behind the section before")
            }
            guard let stored = table.int(at: row + 16), stored <= end - offset else {
                throw malformed("size of \(name)", "\(table.uint64(at: row + 16)) bytes", "at most \(end - offset)")
            }
            // `stored` is at most the file's size, which is far from overflowing the product.
            let limit = encoding == 0 ? stored : stored * Format.maximumExpansion
            guard let size = table.int(at: row + 24), encoding == 0 ? size == stored : size <= limit else {
                throw malformed(
                    "decoded size of \(name)", "\(table.uint64(at: row + 24)) bytes",
                    encoding == 0 ? "\(stored)" : "at most \(Format.maximumExpansion) times its stored \(stored) bytes")
            }
            place = Format.aligned(offset + stored)
            let padding = place <= end ? file.copy(at: offset + stored, count: place - offset - stored) : nil
            guard let padding, padding.allSatisfy({ $0 == 0 }) else {
                throw malformed("padding behind \(name)", "not zero", "zeros up to a multiple of \(Format.alignment)")
            }
            sections.append(
                SectionEntry(
                    kind: kind, code: code, isCompressed: encoding == 1, offset: offset, storedSize: stored, size: size,
                    sum: Array(table[(row + 32)..<(row + 64)])))
        }
        guard place == end else {
            throw malformed("section table", "at byte \(end)", "\(place), where the last section ends")
        }
        return sections
    }
}
