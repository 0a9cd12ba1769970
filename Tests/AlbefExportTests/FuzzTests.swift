import AlbefFiles
import Testing

@testable import AlbefExport

@Suite("Damaged checkpoints")
struct FuzzTests {
    /// Reads everything that a checkpoint offers; only an ``ExportError`` of one line may come of it.
    private func readAll(_ path: String) throws {
        do {
            let checkpoint = try openCheckpoint(path)
            for tensor in checkpoint.tensors {
                do { _ = try checkpoint.floats(tensor.name) } catch { #expect(!error.description.contains("\n")) }
            }
        } catch { #expect(!error.description.contains("\n")) }
    }

    private func mutate(_ bytes: [UInt8], _ generator: inout SeededGenerator) -> [UInt8] {
        var bytes = bytes
        for _ in 0..<Int.random(in: 1...8, using: &generator) where !bytes.isEmpty {
            let place = Int.random(in: 0..<bytes.count, using: &generator)
            switch Int.random(in: 0..<6, using: &generator) {
            case 0: bytes[place] = UInt8.random(in: 0...255, using: &generator)
            case 1: bytes[place] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
            case 2: bytes[place] = [0, 0x7F, 0x80, 0xFF].randomElement(using: &generator) ?? 0
            case 3: bytes.removeSubrange(place..<min(bytes.count, place + Int.random(in: 1...16, using: &generator)))
            case 4:
                let end = min(bytes.count, place + Int.random(in: 1...32, using: &generator))
                bytes.insert(contentsOf: bytes[place..<end], at: Int.random(in: 0...bytes.count, using: &generator))
            default:
                for offset in place..<min(bytes.count, place + 8) { bytes[offset] = 0xFF }
            }
        }
        return bytes
    }

    @Test("random damage to files of torch.save never stops the reader", arguments: [
        "wrapped.pth", "flat_protocol5.pth", "hostile_call.pth",
    ])
    func files(name: String) throws {
        let whole = try readFile(fixture(name), limit: 1 << 20)
        let folder = try TemporaryFolder()
        var generator = SeededGenerator("files " + name)
        for _ in 0..<200 { try readAll(try folder.write(mutate(whole, &generator), to: "a.pth")) }
    }

    @Test("random damage to pickles never stops the unpickler", arguments: ["wrapped.pth", "flat_protocol5.pth"])
    func pickles(name: String) throws {
        let file = try MappedFile(path: fixture(name))
        let archive = try ZipArchive(file)
        let range = try archive.range(of: name.dropLast(4) + "/data.pkl")
        let whole = try file.bytes(range.lowerBound, range.count)
        var generator = SeededGenerator("pickles " + name)
        for _ in 0..<600 { _ = try? Unpickler.read(mutate(whole, &generator)) }
    }

    @Test("random instructions never stop the unpickler")
    func instructions() {
        var generator = SeededGenerator("instructions")
        let codes = Array("(.012NIJKMGXTUBC)t]l}daesuqrhjQRbo".utf8) + Array(0x80...0x96)
        for _ in 0..<3000 {
            let bytes = (0..<Int.random(in: 1...60, using: &generator)).map { _ in
                Bool.random(using: &generator) ? codes.randomElement(using: &generator) ?? 0 : UInt8.random(in: 0...3, using: &generator)
            }
            _ = try? Unpickler.read(bytes)
        }
    }

    @Test("a damaged checkpoint of a model is exported or refused, and never half")
    func exports() throws {
        let folder = try TemporaryFolder()
        let sample = SampleModel("fuzzed export")
        let vocabulary = try folder.write(Array(SampleModel.vocabulary.joined(separator: "\n").utf8), to: "vocab.txt")
        let whole = sample.torchFile(wrapper: true)
        var generator = SeededGenerator("exports")
        // Damage to the pickle and the directory, which lie at the two ends; that to weights only changes weights.
        let ends = [0..<6000, (whole.count - 6000)..<whole.count]
        for _ in 0..<60 {
            var bytes = whole
            let place = Int.random(in: ends.randomElement(using: &generator) ?? 0..<1, using: &generator)
            bytes[place] = UInt8.random(in: 0...255, using: &generator)
            let path = try folder.write(bytes, to: "a.pth")
            do {
                let report = try Exporter.run(
                    ExportOptions(checkpoint: path, output: folder.path("m.albef"), vocabulary: vocabulary))
                #expect(report.tensors.count == sample.tensors.count)
            } catch { #expect(!error.description.contains("\n")) }
            #expect(Set(try folder.names()).isSubset(of: ["a.pth", "m.albef", "vocab.txt"]))
        }
    }
}
