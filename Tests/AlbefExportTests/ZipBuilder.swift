/// Writes zip files of stored entries, with what a test wants wrong about them.
struct ZipBuilder {
    struct Entry {
        var name: String
        var data: [UInt8]
        /// In the local header; nil for that of the entry.
        var localName: String?
        var method = 0
        var flags = 0
        /// In the central directory; nil for the length of the data.
        var size: Int?
        var storedSize: Int?
        var offset: Int?
        /// Zip64 numbers in the central directory, with 0xFFFFFFFF in the places of the narrow ones.
        var wide = false

        init(_ name: String, _ data: [UInt8]) {
            self.name = name
            self.data = data
        }
    }

    var entries: [Entry] = []
    /// Ends with a zip64 record and locator.
    var wideEnd = false
    /// In the zip64 record in place of the number of entries.
    var wideCount: Int?
    var comment: [UInt8] = []

    func build() -> [UInt8] {
        var file: [UInt8] = []
        var directory: [UInt8] = []
        for entry in entries {
            let start = file.count
            let local = Array((entry.localName ?? entry.name).utf8)
            file += littleEndian(0x0403_4B50, 4) + littleEndian(0, 2) + littleEndian(entry.flags, 2)
            file += littleEndian(entry.method, 2) + littleEndian(0, 8)
            let written = entry.flags & 8 != 0 ? 0 : entry.data.count
            file += littleEndian(written, 4) + littleEndian(written, 4) + littleEndian(local.count, 2)
            // An extra field pads, as that of torch.save does.
            file += littleEndian(6, 2) + local + Array("FB".utf8) + [2, 0, 0x5A, 0x5A] + entry.data
            let size = entry.size ?? entry.data.count
            let stored = entry.storedSize ?? entry.data.count
            let offset = entry.offset ?? start
            let extra =
                entry.wide
                ? littleEndian(1, 2) + littleEndian(24, 2) + littleEndian(size, 8) + littleEndian(stored, 8)
                    + littleEndian(offset, 8) : []
            let name = Array(entry.name.utf8)
            directory += littleEndian(0x0201_4B50, 4) + littleEndian(0, 4) + littleEndian(entry.flags, 2)
            directory += littleEndian(entry.method, 2) + littleEndian(0, 8)
            directory += littleEndian(entry.wide ? -1 : stored, 4) + littleEndian(entry.wide ? -1 : size, 4)
            directory += littleEndian(name.count, 2) + littleEndian(extra.count, 2) + littleEndian(0, 10)
            directory += littleEndian(entry.wide ? -1 : offset, 4) + name + extra
        }
        let start = file.count
        file += directory
        if wideEnd {
            let record = file.count
            file += littleEndian(0x0606_4B50, 4) + littleEndian(44, 8) + littleEndian(0, 12)
            file += littleEndian(wideCount ?? entries.count, 8) + littleEndian(entries.count, 8)
            file += littleEndian(directory.count, 8) + littleEndian(start, 8)
            file += littleEndian(0x0706_4B50, 4) + littleEndian(0, 4) + littleEndian(record, 8) + littleEndian(1, 4)
        }
        file += littleEndian(0x0605_4B50, 4) + littleEndian(0, 4)
        file += littleEndian(wideEnd ? 0xFFFF : entries.count, 2) + littleEndian(wideEnd ? 0xFFFF : entries.count, 2)
        file += littleEndian(wideEnd ? -1 : directory.count, 4) + littleEndian(wideEnd ? -1 : start, 4)
        return file + littleEndian(comment.count, 2) + comment
    }

    /// A `.pth` file of one pickle and some storages.
    static func torch(_ pickle: [UInt8], storages: [String: [UInt8]] = [:]) -> ZipBuilder {
        var zip = ZipBuilder()
        zip.entries = [Entry("m/data.pkl", pickle), Entry("m/byteorder", Array("little".utf8))]
        for (key, data) in storages.sorted(by: { $0.key < $1.key }) { zip.entries.append(Entry("m/data/" + key, data)) }
        return zip
    }
}

/// Little-endian bytes of float32 values.
func bytes(of values: [Float]) -> [UInt8] { values.flatMap { littleEndian(Int($0.bitPattern), 4) } }
