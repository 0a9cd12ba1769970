import AlbefFiles
import AlbefImage
import AlbefKernels
import AlbefTestSupport
import Foundation
import Testing

@testable import Albef
@testable import AlbefModelFile

@Suite("Masked words")
struct FillMaskTests {
    /// The rows of `mlm_logits` in a trace of the same inputs.
    private func tracedLogits(_ session: Session, _ text: PreparedText) throws -> [[Float]] {
        let image = try PreparedImage(pixels: TinyModel().pixels(), for: session.model)
        let all = try #require(session.trace(.init(image: image, caption: text)).tensor("mlm_logits")?.floats)
        let words = session.model.configuration.vocabSize
        return stride(from: 0, to: all.count, by: words).map { Array(all[$0..<$0 + words]) }
    }

    @Test(
        "the words of each mask are those of its row of logits, by probability over the vocabulary",
        arguments: Precision.allCases,
        ["a [MASK] dog", "[MASK] [MASK] on the left", "A big tree, [MASK].", "[MASK][MASK]"])
    func words(precision: Precision, text: String) throws {
        try withSession(precision: precision) { session in
            let prepared = try session.model.prepare(text, for: .masked)
            let masks = prepared.ids.indices.filter { prepared.ids[$0] == session.model.tokenizer.maskID }
            let vocabulary = session.model.tokenizer.vocabulary
            let results = try session.fillMasks(session.tinyImage(), session.encode(prepared), top: vocabulary.count)
            #expect(results.count == masks.count && !masks.isEmpty)
            let rows = try tracedLogits(session, prepared)
            for (words, row) in zip(results, masks) {
                let logits = rows[row]
                let order = logits.indices.sorted { (logits[$0], $1) > (logits[$1], $0) }
                // Unequal logits may round to one probability, whose order is then that of the ids.
                #expect(zip(words, words.dropFirst()).allSatisfy { ($0.probability, $1.id) > ($1.probability, $0.id) })
                #expect(words.map(\.id).first.map(Int.init) == order[0])
                #expect(words.allSatisfy { vocabulary[Int($0.id)] == $0.word })
                let top = Double(logits[order[0]])
                let sum = logits.reduce(0) { $0 + exp(Double($1) - top) }
                for word in words {
                    let expected = exp(Double(logits[Int(word.id)]) - top) / sum
                    #expect(abs(Double(word.probability) - expected) < 1e-6)
                }
            }
        }
    }

    @Test("a short list is the beginning of the long one, on every instruction set and with any number of threads")
    func top() throws {
        var expected: [[MaskedWord]]?
        for isa in ISA.supported {
            for threads in [1, 3] {
                try withSession(isa: isa, threads: threads) { session in
                    let text = try session.tinyText("a [MASK] cat and [MASK]", .masked)
                    let image = try session.tinyImage()
                    let all = try session.fillMasks(image, text, top: 1000)
                    #expect(all[0].count == TinyModel.vocabulary.count)
                    try #expect(session.fillMasks(image, text, top: 3) == all.map { Array($0.prefix(3)) })
                    if let expected { #expect(all == expected) } else { expected = all }
                }
            }
        }
    }

    @Test("more masks than are predicted together give the same words as the trace's logits")
    func many() throws {
        try withSession { session in
            let words = 40
            let text = String(repeating: "[MASK]", count: words)
            let prepared = try session.model.prepare(text, for: .masked)
            let results = try session.fillMasks(session.tinyImage(), session.encode(prepared), top: 1)
            let rows = try tracedLogits(session, prepared)
            #expect(results.count == words && rows.count == words + 1)
            for (result, logits) in zip(results, rows.dropFirst()) {
                #expect(Int(result[0].id) == logits.indices.max { (logits[$0], $1) < (logits[$1], $0) })
            }
        }
    }

    @Test("a text without [MASK] is a mistake of the caller, one that loses it to a cut is bad data")
    func refused() throws {
        try withSession { session in
            let long = String(repeating: "dog ", count: session.model.configuration.maxWords)
            let cases: [(text: String, kind: FailureKind, says: String)] = [
                ("a red dog", .usage, "[MASK]"), ("a [mask] dog", .usage, "[MASK]"), (" ?! ", .usage, "[MASK]"),
                (long + "[MASK]", .badData, "1 of its 1"), ("[MASK] " + long + "[MASK]", .badData, "1 of its 2"),
            ]
            for (text, kind, says) in cases {
                let error = #expect(throws: AlbefError.self) { try session.model.prepare(text, for: .masked) }
                #expect(error?.kind == kind && error?.description.contains(says) == true, "\(text)")
            }
            let kept = try session.model.prepare("[MASK] " + long, for: .masked)
            #expect(kept.truncated && kept.ids[1] == session.model.tokenizer.maskID)
        }
    }

    @Test("[MASK] is an ordinary text in every other command")
    func elsewhere() throws {
        try withSession { session in
            for purpose in [PreparedText.Purpose.caption, .retrieval, .question] {
                let prepared = try session.model.prepare("a [MASK] dog", for: purpose)
                #expect(!prepared.ids.contains(session.model.tokenizer.maskID))
            }
        }
    }

    @Test("a model without the masked-language head says so")
    func missingHead() throws {
        var tiny = TinyModel()
        tiny.maskedLanguage = false
        try withSession(tiny) { session in
            let text = try session.tinyText("a [MASK] dog", .masked)
            let error = #expect(throws: AlbefError.self) { try session.fillMasks(session.tinyImage(), text, top: 1) }
            #expect(error?.kind == .badData && error?.description.contains("text_encoder.cls") == true)
        }
    }

    @Test("a golden case may have a text with masks, which is verified as fill-mask reads it")
    func golden() throws {
        let root = try TemporaryFolder()
        let side = TinyModel().configuration.imageSize
        try writePNG(Picture(width: side, height: side, pixels: TinyModel().pixels()), to: root.file("p.png"))
        let sum = try SHA256.hex(of: readFile(root.file("p.png"), limit: 1 << 20))
        try withSession { session in
            let image = try PreparedImage(pixels: TinyModel().pixels(), for: session.model)
            let own = try session.trace(
                .init(image: image, caption: session.model.prepare("A [MASK] dog.", for: .masked)))
            let logits = try #require(own.tensor("mlm_logits"))
            try #require(own.tensor("input_ids")).values.expectMask(session.model.tokenizer.maskID)
            try Trace(
                tensors: [.init(name: "m/mlm_logits", shape: logits.shape, values: logits.values)], metadata: [:]
            ).write(to: root.file("t.safetensors"))
            let bundle = try #require(Compression.compress(readFile(root.file("t.safetensors"), limit: 1 << 20)))
            try FileManager.default.createDirectory(atPath: root.file("golden"), withIntermediateDirectories: false)
            try root.write(bundle, "golden/t.zst")
            let manifest: JSONValue = [
                "format": 1, "checkpoint_sha256": "x",
                "cases": [
                    [
                        "name": "m", "image": "p.png", "image_sha256": .string(sum), "masked_text": "A [MASK] dog.",
                        "tensors": ["mlm_logits"],
                    ]
                ],
                "tensors": ["file": "t.zst", "sha256": .string(SHA256.hex(of: bundle))],
            ]
            try root.write(Array(manifest.text.utf8), "golden/manifest.json")
            let result = try session.verify(GoldenSet(folder: root.file("golden")), recorded: RecordedDigests())
            #expect(result.passed && result.rows.map(\.check.stage).contains("mlm_logits"))
            #expect(result.rows.allSatisfy { $0.figure.magnitude < 1e-9 })
            #expect(result.digests == ["m/mlm_logits": logits.digest])
        }
    }
}

extension Trace.Tensor.Values {
    fileprivate func expectMask(_ id: Int32) {
        guard case .int32(let ids) = self else { return #expect(Bool(false), "ids are integers") }
        #expect(ids.count { $0 == id } == 1)
    }
}
