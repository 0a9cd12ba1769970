import AlbefFiles
import AlbefImage
import AlbefModelFile
import AlbefTestSupport
import Foundation
import Testing

@testable import Albef

/// Golden fixtures of one case with two pictures, `a.png` and `b.png`, made from a session's own trace.
private struct GoldenPair {
    let pictures: Pictures
    var folder: String { pictures.folder.file("golden") }

    /// - Parameter change: Applied to the right picture's prepared pixels, of which the golden tensors are then made.
    init(_ session: Session, change: (inout [UInt8]) -> Void = { _ in }) throws {
        pictures = try Pictures()
        let paths = ["a.png", "b.png"].map(pictures.folder.file)
        let left = try session.prepare(decodePicture(path: paths[0]))
        var pixels = try session.prepare(decodePicture(path: paths[1])).pixels
        change(&pixels)
        let trace = try session.trace(
            Session.TraceRequest(
                image: left, right: PreparedImage(pixels: pixels, for: session.model),
                caption: session.model.prepare("Two red dogs.", for: .caption)))
        var writer = SafetensorsWriter()
        for tensor in trace.tensors {
            switch tensor.values {
            case .float32(let values): writer.add("pair/" + tensor.name, shape: tensor.shape, values)
            case .int32(let values): writer.add("pair/" + tensor.name, shape: tensor.shape, values)
            case .uint8(let values): writer.add("pair/" + tensor.name, shape: tensor.shape, values)
            }
        }
        try writer.write(to: pictures.folder.file("t.safetensors"))
        let frame = storedFrame(try readFile(pictures.folder.file("t.safetensors"), limit: 1 << 20))
        let manifest: JSONValue = [
            "format": 1, "checkpoint_sha256": "0", "versions": ["torch": "2"],
            "cases": [
                [
                    "name": "pair", "images": ["a.png", "b.png"],
                    "images_sha256": .array(try paths.map { .string(try SHA256.hex(ofFile: $0)) }), "text": "Two red dogs.",
                    "tensors": .array(trace.tensors.map { .string($0.name) }),
                ]
            ],
            "tensors": ["file": "t.zst", "sha256": .string(SHA256.hex(of: frame))],
        ]
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        try pictures.folder.write(frame, "golden/t.zst")
        try pictures.folder.write(manifest.utf8, "golden/manifest.json")
    }
}

/// One zstd frame that states its content's size and stores it in raw blocks.
private func storedFrame(_ content: [UInt8]) -> [UInt8] {
    func little(_ value: Int, _ count: Int) -> [UInt8] { (0..<count).map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) } }
    let block = 100_000
    // A single segment with a content size of eight bytes.
    var frame = [0x28, 0xB5, 0x2F, 0xFD, 0xE0] + little(content.count, 8)
    for start in stride(from: 0, to: content.count, by: block) {
        let part = content[start..<min(start + block, content.count)]
        frame += little(part.count << 3 | (part.endIndex == content.count ? 1 : 0), 3) + part
    }
    return frame
}

@Suite("Golden cases of two pictures")
struct GoldenPairTests {
    private let stages: Set = [
        "pixels_u8_left", "pixels_u8_right", "pixels_left", "pixels_right", "input_ids", "image_tokens_left",
        "image_tokens_right", "text_tokens", "fusion_tokens", "nlvr_logits",
    ]

    @Test("every stage of both pictures is checked and recorded", arguments: Precision.allCases)
    func verified(precision: Precision) throws {
        try withSession(ClassificationTask.reasoning.tiny, precision: precision) { session in
            let fixtures = try GoldenPair(session)
            let golden = try GoldenSet(folder: fixtures.folder)
            #expect(golden.cases.count == 1 && golden.cases[0].pictures.count == 2)
            var recorded = RecordedDigests()
            let first = try session.verify(golden, recorded: recorded)
            #expect(first.passed && first.notRecorded == 10 && Set(first.rows.map(\.check.stage)) == stages)
            recorded.record(first.digests, model: session.model.file.digest)
            let second = try session.verify(golden, recorded: recorded)
            #expect(second.passed && second.equal == 10 && second.notRecorded == 0)
        }
    }

    @Test("other pixels of one picture are reported, and the later stages start from the golden ones")
    func otherPixels() throws {
        try withSession(ClassificationTask.reasoning.tiny, precision: .float32) { session in
            let fixtures = try GoldenPair(session) { $0[100] ^= 0xFF }
            let result = try session.verify(GoldenSet(folder: fixtures.folder), recorded: RecordedDigests())
            #expect(!result.passed && result.rows.filter { !$0.passed }.map(\.check.stage) == ["pixels_u8_right"])
            #expect(result.rows.first { $0.check.stage == "nlvr_logits" }?.figure == 0)
        }
    }

    @Test("a picture with another sum is an error that names the file", arguments: ["a.png", "b.png"])
    func otherPicture(name: String) throws {
        try withSession(ClassificationTask.reasoning.tiny) { session in
            let fixtures = try GoldenPair(session)
            let golden = try GoldenSet(folder: fixtures.folder)
            try fixtures.pictures.folder.write(readFile(fixtures.pictures.folder.file("c.png"), limit: 1 << 20), name)
            let error = failure(of: { _ = try session.verify(golden, recorded: RecordedDigests()) }) as? FileError
            #expect(error?.kind == .badData && error?.description.contains(name) == true, "\(String(describing: error))")
        }
    }

    @Test("fixtures of two pictures on a model for one are an error that names the head")
    func otherModel() throws {
        try withSession(ClassificationTask.reasoning.tiny) { session in
            let fixtures = try GoldenPair(session)
            try withSession(ClassificationTask.entailment.tiny) { other in
                let golden = try GoldenSet(folder: fixtures.folder)
                let error = failure(of: { _ = try other.verify(golden, recorded: RecordedDigests()) }) as? AlbefError
                #expect(error?.description.contains("cls_head.2.weight") == true)
            }
        }
    }
}
