import AlbefFiles

/// The table of contents of a zip file whose entries are stored, not compressed: what `torch.save` writes.
///
/// Zip64 is read. Every size and offset is checked against the file in 64-bit arithmetic before use, and an entry's local
/// header against its row in the central directory. Checksums of entries are not compared: `torch.save` may write files
/// without them (`torch.serialization.set_crc32_options`).
///
/// Source: APPNOTE.TXT 6.3.10 of PKWARE, sections 4.3 to 4.5.
struct ZipArchive: Sendable {
    /// A file in the archive.
    struct Entry: Sendable {
        let name: String
        let method: UInt16
        let flags: UInt16
        let storedSize: Int
        let size: Int
        /// Where its local header begins.
        let header: Int
    }

    let file: MappedFile
    /// All entries by name.
    let entries: [String: Entry]
    private let directoryStart: Int

    /// A central directory larger than this is refused. An entry takes about 70 bytes.
    private static let maximumDirectory = 64 << 20

    /// - Throws: ``ExportError/malformed(path:field:reason:)``
    init(_ file: MappedFile) throws(ExportError) {
        self.file = file
        let end = try ZipArchive.findEnd(file)
        guard end.size <= ZipArchive.maximumDirectory, end.size / 46 >= end.count else {
            throw .malformed(
                path: file.path, field: "central directory", reason: "\(end.count) entries in \(end.size) bytes")
        }
        directoryStart = end.start
        var reader = ByteReader(file: file, start: end.start, bytes: try file.bytes(end.start, end.size))
        var entries: [String: Entry] = [:]
        for _ in 0..<end.count {
            let entry = try ZipArchive.readEntry(&reader)
            guard entries.updateValue(entry, forKey: entry.name) == nil else {
                throw .malformed(path: file.path, field: entry.name, reason: "the archive holds it twice")
            }
        }
        guard reader.remaining == 0 else {
            throw .malformed(path: file.path, field: "central directory", reason: "longer than its entries")
        }
        self.entries = entries
    }

    /// Where an entry's bytes lie in the file.
    ///
    /// - Throws: ``ExportError/malformed(path:field:reason:)`` if the entry is missing, compressed, or described differently
    ///   by its local header.
    func range(of name: String) throws(ExportError) -> Range<Int> {
        func refuse(_ reason: String) -> ExportError { .malformed(path: file.path, field: name, reason: reason) }
        guard let entry = entries[name] else { throw refuse("missing from the archive") }
        guard entry.method == 0 else {
            throw refuse("compressed (method \(entry.method)); write the checkpoint with torch.save, which only stores")
        }
        guard entry.flags & 1 == 0 else { throw refuse("encrypted") }
        guard entry.storedSize == entry.size else {
            throw refuse("stored in \(entry.storedSize) bytes, but \(entry.size) bytes long")
        }
        var local = ByteReader(file: file, start: entry.header, bytes: try file.bytes(entry.header, 30))
        guard try local.number(4) == 0x0403_4B50 else { throw refuse("no local header at byte \(entry.header)") }
        try local.skip(2)
        let flags = try local.number(2)
        let method = try local.number(2)
        try local.skip(8)
        let stored = try local.number(4)
        let size = try local.number(4)
        let nameLength = try local.number(2)
        let extraLength = try local.number(2)
        // With flag 8 the sizes stand behind the data, and the local header holds zeros or the maximum.
        let sizesMatch = [stored, size].allSatisfy {
            $0 == entry.size || $0 == 0xFFFF_FFFF || ($0 == 0 && flags & 8 != 0)
        }
        guard try file.bytes(entry.header + 30, nameLength).elementsEqual(name.utf8), method == Int(entry.method),
            flags & 1 == 0, sizesMatch
        else { throw refuse("local header and central directory disagree") }
        let start = entry.header + 30 + nameLength + extraLength
        guard start <= directoryStart, entry.size <= directoryStart - start else {
            throw refuse("\(entry.size) bytes at byte \(start) reach past byte \(directoryStart), where the entries end")
        }
        return start..<start + entry.size
    }

    /// One row of the central directory.
    private static func readEntry(_ reader: inout ByteReader) throws(ExportError) -> Entry {
        guard try reader.number(4) == 0x0201_4B50 else { throw reader.failure("no entry here") }
        try reader.skip(4)
        let flags = try reader.number(2)
        let method = try reader.number(2)
        try reader.skip(8)
        var stored = try reader.number(4)
        var size = try reader.number(4)
        let nameLength = try reader.number(2)
        let extraLength = try reader.number(2)
        let commentLength = try reader.number(2)
        try reader.skip(8)
        var header = try reader.number(4)
        guard let name = String(validating: try reader.take(nameLength), as: UTF8.self) else {
            throw reader.failure("a name that is not UTF-8")
        }
        var extra = ByteReader(file: reader.file, start: reader.offset, bytes: Array(try reader.take(extraLength)))
        try reader.skip(commentLength)
        while extra.remaining >= 4 {
            let identifier = try extra.number(2)
            let length = try extra.number(2)
            var field = ByteReader(file: reader.file, start: extra.offset, bytes: Array(try extra.take(length)))
            guard identifier == 1 else { continue }
            // Zip64: only the numbers that did not fit, in this order.
            if size == 0xFFFF_FFFF { size = try field.number(8) }
            if stored == 0xFFFF_FFFF { stored = try field.number(8) }
            if header == 0xFFFF_FFFF { header = try field.number(8) }
        }
        return Entry(
            name: name, method: UInt16(method), flags: UInt16(flags), storedSize: stored, size: size, header: header)
    }

    /// The place, length and number of entries of the central directory.
    private static func findEnd(_ file: MappedFile) throws(ExportError) -> (start: Int, size: Int, count: Int) {
        func refuse(_ reason: String) -> ExportError {
            .malformed(path: file.path, field: "end of the archive", reason: reason)
        }
        // The record has 22 bytes and a comment of up to 65 535.
        let tailLength = min(file.byteCount, 22 + 0xFFFF)
        let tailStart = file.byteCount - tailLength
        let tail = try file.bytes(tailStart, tailLength)
        guard tailLength >= 22,
            let found = stride(from: tailLength - 22, through: 0, by: -1).first(where: {
                tail[$0] == 0x50 && tail[$0 + 1] == 0x4B && tail[$0 + 2] == 5 && tail[$0 + 3] == 6
                    && Int(tail[$0 + 20]) | Int(tail[$0 + 21]) << 8 == tailLength - 22 - $0
            })
        else { throw refuse("not found; the file is cut short or no zip file") }
        let recordStart = tailStart + found
        var record = ByteReader(file: file, start: recordStart, bytes: Array(tail[found...]))
        try record.skip(4)
        let disks = [try record.number(2), try record.number(2)]
        let here = try record.number(2)
        var count = try record.number(2)
        var size = try record.number(4)
        var start = try record.number(4)
        guard disks == [0, 0] || disks == [0xFFFF, 0xFFFF], here == count else { throw refuse("spread over several disks") }
        var limit = recordStart
        if recordStart >= 20 {
            var locator = ByteReader(file: file, start: recordStart - 20, bytes: try file.bytes(recordStart - 20, 20))
            if try locator.number(4) == 0x0706_4B50 {
                try locator.skip(4)
                let place = try locator.number(8)
                guard place >= 0, place <= recordStart - 20 - 56 else { throw refuse("its zip64 record lies outside") }
                var wide = ByteReader(file: file, start: place, bytes: try file.bytes(place, 56))
                guard try wide.number(4) == 0x0606_4B50 else { throw refuse("no zip64 record at byte \(place)") }
                try wide.skip(28)
                let numbers = [try wide.number(8), try wide.number(8), try wide.number(8)]
                for (narrow, (all, exact)) in zip([count, size, start], zip([0xFFFF, 0xFFFF_FFFF, 0xFFFF_FFFF], numbers))
                where narrow != all && narrow != exact {
                    throw refuse("its zip64 record says otherwise")
                }
                (count, size, start, limit) = (numbers[0], numbers[1], numbers[2], place)
            }
        }
        guard count >= 0, size >= 0, start >= 0, start <= limit, size <= limit - start else {
            throw refuse("a central directory of \(size) bytes at byte \(start) lies outside")
        }
        return (start, size, count)
    }
}

/// Reads little-endian numbers from a piece of a file, and knows where in the file it is.
struct ByteReader {
    let file: MappedFile
    private let start: Int
    private let bytes: [UInt8]
    private var position = 0

    init(file: MappedFile, start: Int, bytes: [UInt8]) {
        self.file = file
        self.start = start
        self.bytes = bytes
    }

    /// Position in the file.
    var offset: Int { start + position }
    var remaining: Int { bytes.count - position }

    func failure(_ reason: String) -> ExportError {
        .malformed(path: file.path, field: "byte \(offset)", reason: reason)
    }

    mutating func take(_ count: Int) throws(ExportError) -> ArraySlice<UInt8> {
        guard count >= 0, count <= remaining else { throw failure("\(count) bytes expected, \(remaining) are there") }
        position += count
        return bytes[position - count..<position]
    }

    mutating func skip(_ count: Int) throws(ExportError) { _ = try take(count) }

    /// An unsigned number of `width` bytes; one of 8 bytes that exceeds `Int.max` is refused.
    mutating func number(_ width: Int) throws(ExportError) -> Int {
        let value = try take(width).reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        guard let result = Int(exactly: value) else { throw failure("the number \(value) is too large") }
        return result
    }
}

extension MappedFile {
    /// A copy of some bytes.
    func bytes(_ start: Int, _ count: Int) throws(ExportError) -> [UInt8] {
        guard let bytes = copy(at: start, count: count) else {
            throw .malformed(
                path: path, field: "byte \(start)", reason: "\(count) bytes expected, the file has \(byteCount) bytes")
        }
        return bytes
    }
}
