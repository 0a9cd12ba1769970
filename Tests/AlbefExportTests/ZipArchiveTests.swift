import AlbefFiles
import Testing

@testable import AlbefExport

@Suite("Zip archives of stored entries")
struct ZipArchiveTests {
    /// Opens an archive and reads all of an entry.
    private func read(_ zip: ZipBuilder, _ name: String) throws -> [UInt8] {
        try read(zip.build(), name)
    }

    private func read(_ bytes: [UInt8], _ name: String) throws -> [UInt8] {
        let folder = try TemporaryFolder()
        let file = try MappedFile(path: try folder.write(bytes, to: "a.zip"))
        let range = try ZipArchive(file).range(of: name)
        return try file.bytes(range.lowerBound, range.count)
    }

    private func two() -> ZipBuilder {
        var zip = ZipBuilder()
        zip.entries = [.init("a", [1, 2, 3]), .init("b/c", Array(repeating: 7, count: 300))]
        return zip
    }

    @Test("narrow, wide and mixed numbers are read", arguments: [false, true], [false, true])
    func widths(wideEnd: Bool, wideEntry: Bool) throws {
        var zip = two()
        zip.wideEnd = wideEnd
        zip.entries[1].wide = wideEntry
        #expect(try read(zip, "a") == [1, 2, 3])
        #expect(try read(zip, "b/c").count == 300)
    }

    @Test("sizes behind the data, as torch.save writes them, are read")
    func dataDescriptors() throws {
        var zip = two()
        zip.entries[0].flags = 0x808
        #expect(try read(zip, "a") == [1, 2, 3])
    }

    @Test("a comment at the end is passed over, even one that looks like an end")
    func comments() throws {
        var zip = two()
        zip.comment = Array("PK\u{5}\u{6}".utf8) + Array(repeating: 0, count: 40)
        #expect(try read(zip, "a") == [1, 2, 3])
        zip.comment = Array(repeating: 0x20, count: 0xFFFF)
        #expect(try read(zip, "a") == [1, 2, 3])
    }

    @Test("an entry that is not what the directory says is refused")
    func disagreement() throws {
        func refusal(_ change: (inout ZipBuilder.Entry) -> Void) -> String? {
            var zip = two()
            change(&zip.entries[0])
            return message { try read(zip, "a") }
        }
        #expect(refusal { $0.localName = "x" }?.hasSuffix("a: local header and central directory disagree") == true)
        #expect(refusal { $0.size = 2; $0.storedSize = 2 }?.contains("disagree") == true)
        #expect(refusal { $0.size = 2 }?.contains("stored in 3 bytes, but 2 bytes long") == true)
        #expect(refusal { $0.method = 8 }?.contains("compressed (method 8)") == true)
        #expect(refusal { $0.flags = 1 }?.hasSuffix("encrypted") == true)
        #expect(refusal { $0.offset = 3 }?.contains("no local header at byte 3") == true)
        #expect(refusal { $0.offset = 1 << 30 }?.contains("30 bytes expected") == true)
        #expect(refusal { $0.wide = true; $0.offset = .max }?.contains("30 bytes expected") == true)
        #expect(refusal { $0.wide = true; $0.offset = -1 }?.contains("too large") == true)
        for size in [1000, Int.max] {
            let found = refusal { $0.flags = 8; $0.wide = true; $0.size = size; $0.storedSize = size }
            #expect(found?.contains("where the entries end") == true, "\(found ?? "no error")")
        }
        #expect(message { try read(two(), "z") }?.hasSuffix("z: missing from the archive") == true)
    }

    @Test("a directory that is not what the end says is refused")
    func directory() {
        var zip = two()
        zip.entries[1].name = "a"
        #expect(message { try read(zip, "a") }?.hasSuffix("the archive holds it twice") == true)
        zip = two()
        zip.wideEnd = true
        for count in [1, 3, 1000, Int.max, -1] {
            zip.wideCount = count
            // The record's two counts may differ only by a hostile hand; the total is what is read.
            #expect(message { try read(zip, "a") }?.contains("\n") != true)
        }
    }

    @Test("a file cut short anywhere is refused")
    func truncation() throws {
        var zip = two()
        zip.wideEnd = true
        let whole = zip.build()
        let folder = try TemporaryFolder()
        for length in 1..<whole.count {
            let file = try MappedFile(path: try folder.write(Array(whole[..<length]), to: "a.zip"))
            #expect(throws: ExportError.self, "cut to \(length) bytes") { try ZipArchive(file) }
        }
    }
}
