import AlbefImage
import AlbefKernels
import AlbefModelFile
import AlbefTensor
import AlbefTestSupport
import Foundation
import Testing

@testable import Albef

/// The instruction set that `ALBEF_FORCE_ISA` names, or the best.
let testedISA = ProcessInfo.processInfo.environment["ALBEF_FORCE_ISA"].flatMap(ISA.init(rawValue:)) ?? .best

/// A model and a session on it.
func withSession(
    _ tiny: TinyModel = TinyModel(), precision: Precision = .int8, isa: ISA = testedISA, threads: Int = 2,
    _ body: (Session) throws -> Void
) throws {
    var tiny = tiny
    tiny.precision = precision
    try tiny.withFile { path in
        try body(Session(model: Model(path: path), kernels: Kernels(isa: isa, threads: threads)))
    }
}

extension Session {
    func tinyImage(seed: UInt64 = 7) throws -> EncodedImage {
        try encode(PreparedImage(pixels: TinyModel().pixels(seed: seed), for: model))
    }

    func tinyText(_ text: String, _ purpose: PreparedText.Purpose = .retrieval) throws -> EncodedText {
        try encode(model.prepare(text, for: purpose))
    }
}

private let captions = [
    "a red dog", "two cats playing on the left of a big tree", "blue", "is the small cat playing with a dog in red",
]

@Suite("Sessions")
struct SessionTests {
    @Test("a pair gives the same bytes alone and in a batch", arguments: Precision.allCases)
    func pairs(precision: Precision) throws {
        try withSession(precision: precision) { session in
            let image = try session.tinyImage()
            let prepared = try captions.map { try session.model.prepare($0, for: .retrieval) }
            let together = try session.encode(prepared)
            let matches = try session.match(image, together)
            for (index, text) in prepared.enumerated() {
                let own = try session.encode(text)
                #expect(own.tokens == together[index].tokens && own.feature == together[index].feature)
                try #expect(session.match(image, own) == matches[index])
            }
        }
    }

    @Test("a batch of more rows than are computed together gives the same bytes")
    func largeBatch() throws {
        try withSession { session in
            let image = try session.tinyImage()
            let texts = try session.encode(
                (0..<60).map { try session.model.prepare(captions[$0 % captions.count], for: .retrieval) })
            let matches = try session.match(image, texts)
            for index in texts.indices { #expect(matches[index] == matches[index % captions.count]) }
        }
    }

    @Test("the arena that was planned is the arena that is used", arguments: Precision.allCases)
    func plan(precision: Precision) throws {
        try withSession(precision: precision) { session in
            try session.pass { pass throws(AlbefError) in try pass.runLargest() }
            #expect(session.peakBytes == session.plannedBytes)
        }
    }

    @Test("the memory of each task is planned, and the greatest is that of the session", arguments: Precision.allCases)
    func planOfTasks(precision: Precision) throws {
        try withSession(precision: precision) { session in
            let planned = try session.plannedTasks()
            #expect(planned.map(\.task) == PlannedTask.allCases.filter { $0 != .classify })
            #expect(planned.map(\.bytes).max() == session.plannedBytes)
            _ = try session.tinyImage()
            let image = try #require(planned.first { $0.task == .image })
            #expect(session.peakBytes == image.bytes)
        }
    }

    @Test("a longer text than planned grows the arena once", arguments: [1, 8])
    func growth(limit: Int) throws {
        try TinyModel().withFile { path in
            let model = try Model(path: path)
            let session = try Session(model: model, kernels: Kernels(threads: 1), textLimit: limit)
            let small = session.plannedBytes
            let image = try session.tinyImage()
            let text = try session.tinyText(Array(repeating: "playing", count: 30).joined(separator: " "), .caption)
            #expect(text.ids.count == 61 && session.textLimit == 64 && session.plannedBytes > small)
            _ = try session.match(image, text)
            _ = try session.ground(image, text)
            let grown = session.plannedBytes
            _ = try session.match(image, session.tinyText("a dog"))
            #expect(session.plannedBytes == grown)
        }
    }

    @Test("a question longer than the position table is cut to it, and answered")
    func longest() throws {
        try withSession { session in
            let words = Array(repeating: "playing", count: 10_000).joined(separator: " ")
            let prepared = try session.model.prepare(words, for: .question)
            #expect(prepared.ids.count == 96 && prepared.truncated)
            let image = try session.tinyImage()
            let answers = try session.answer(image, session.encode(prepared), session.model.answerList())
            #expect(answers.count == 7)
        }
    }

    @Test("every missing tensor is refused when the file is opened, by its name")
    func missingTensors() throws {
        let parts = TinyModel().parts()
        for weight in TinyModel().weights where Head.allCases.allSatisfy({ $0.keyTensor != weight.name }) {
            var tiny = TinyModel()
            tiny.omitted = [weight.name]
            try tiny.withFile(parts: parts) { path in
                let error = #expect(throws: AlbefError.self) { try Model(path: path) }
                #expect(error?.description.contains(weight.name) == true)
                #expect(error?.kind == .badData)
            }
        }
    }

    @Test("a task whose head is missing names the tensor")
    func missingHeads() throws {
        var tiny = TinyModel()
        (tiny.contrastive, tiny.matching, tiny.maskedLanguage, tiny.answering) = (false, false, false, false)
        try withSession(tiny) { session in
            #expect(session.model.heads.isEmpty)
            let image = try session.tinyImage()
            let text = try session.tinyText("a dog")
            #expect(image.feature == nil && text.feature == nil)
            let cases: [(Head, () throws -> Void)] = [
                (.matching, { _ = try session.match(image, text) }),
                (.matching, { _ = try session.ground(image, text) }),
                (.answering, { _ = try session.answer(image, text, session.model.answerList()) }),
                (.contrastive, { _ = try session.similarities([1], [[1]]) }),
            ]
            for (head, run) in cases {
                let error = #expect(throws: AlbefError.self) { try run() }
                #expect(error?.description.contains(head.keyTensor) == true && error?.kind == .badData)
            }
        }
    }

    @Test(
        "a value that is not finite is an error that names its stage",
        arguments: [
            ("visual_encoder.norm.weight", "image_tokens"), ("text_encoder.encoder.layer.1.output.LayerNorm.weight", "text_tokens"),
            ("itm_head.weight", "itm_logits"), ("vision_proj.weight", "image_feature"),
            ("text_decoder.cls.predictions.transform.LayerNorm.weight", "vqa_first_logits"),
        ])
    func nonFinite(tensor: String, stage: String) throws {
        var tiny = TinyModel()
        tiny.scaled = [tensor: 2.5e38]
        try withSession(tiny, precision: .float32) { session in
            let error = #expect(throws: AlbefError.self) {
                let image = try session.tinyImage()
                let text = try session.tinyText("a red dog")
                _ = try session.match(image, text)
                _ = try session.answer(image, text, session.model.answerList())
            }
            #expect(error.map { "\($0)".contains("'\(stage)'") } == true, "\(String(describing: error))")
        }
    }

    @Test("a model whose activations would not fit is refused")
    func memoryLimit() throws {
        var tiny = TinyModel()
        (tiny.configuration.imageSize, tiny.configuration.patchSize) = (182, 1)
        try tiny.withFile { path in
            let error = #expect(throws: AlbefError.self) { try Model(path: path) }
            #expect(error?.kind == .badData && error?.description.contains("33125 tokens") == true)
        }
        (tiny.configuration.imageSize, tiny.configuration.textHeads) = (180, 40)
        tiny.configuration.maxPositions = 5_000
        try tiny.withFile { path in
            let model = try Model(path: path)
            let error = #expect(throws: AlbefError.self) {
                try Session(model: model, kernels: Kernels(threads: 1), textLimit: 5_000)
            }
            #expect(error?.kind == .badData && error?.description.contains("activations") == true)
        }
    }

    @Test("a picture of any size is resized and encoded", arguments: [(1, 1), (24, 24), (3, 200), (97, 5)])
    func pictures(width: Int, height: Int) throws {
        try withSession { session in
            var numbers = RandomNumbers(seed: 5)
            let pixels = (0..<3 * width * height).map { _ in UInt8(truncatingIfNeeded: numbers.bits() >> 9) }
            let picture = Picture(width: width, height: height, pixels: pixels)
            let prepared = try session.prepare(picture)
            #expect(prepared.pixels.count == 3 * 24 * 24)
            if width == 24 { #expect(prepared.pixels == pixels) }
            let image = try session.encode(picture)
            try #expect(session.encode(prepared).tokens == image.tokens)
            #expect(image.tokens.count == 10 * 36 && image.tokens.allSatisfy(\.isFinite))
            let error = #expect(throws: AlbefError.self) { try PreparedImage(pixels: pixels + [0], for: session.model) }
            #expect(error?.kind == .badData)
        }
    }

    @Test("texts are cut where their purpose says")
    func preparation() throws {
        try withSession { session in
            let model = session.model
            let pieces = Array(repeating: "playing", count: 31).joined(separator: " ")
            try #expect(model.prepare(pieces, for: .retrieval).ids.count == 30)
            try #expect(model.prepare(pieces, for: .caption).ids.count == 61)
            try #expect(model.prepare(pieces, for: .question).ids.count == 63)
            try #expect(model.prepare(pieces, for: .question).truncated == false)
            try #expect(model.prepare(pieces, for: .caption).truncated)
            try #expect(model.prepare("A red dog!", for: .caption).text == "a red dog")
            for empty in ["", "  ", "?!", "\n"] {
                let error = #expect(throws: AlbefError.self) { try model.prepare(empty, for: .caption) }
                #expect(error?.kind == .badData)
            }
            let error = #expect(throws: AlbefError.self) {
                try model.answerList(["yes", Array(repeating: "dog", count: 95).joined(separator: " ")])
            }
            #expect(error?.kind == .badData)
            #expect(throws: AlbefError.self) { try model.answerList([]) }
        }
    }
}
