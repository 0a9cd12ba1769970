import AlbefKernels
import AlbefModelFile
import AlbefTestSupport
import Testing

@testable import Albef

private let captions = [
    "a red dog", "two cats playing on the left of a big tree", "blue", "is the small cat playing with a dog in red",
]

/// What may decide which algorithm runs for a pair of picture and text is the pair and the model file: every other choice, such
/// as what is computed beside it or who looks on, must leave its bytes alone.
@Suite("Fusion of pairs")
struct FusionTests {
    @Test("the captions of these tests take both forms of cross-attention")
    func bothForms() throws {
        try withSession(.wide) { session in
            let encoder = session.model.text
            #expect(encoder.absorbedLength(upTo: 96) == 9)
            let counts = try captions.map { try session.model.prepare($0, for: .retrieval).ids.count }
            #expect(counts.contains { $0 <= 9 } && counts.contains { $0 > 9 })
            #expect(counts.contains { encoder.projects(tokens: $0) } && !encoder.projects(tokens: counts.min() ?? 0))
        }
        try withSession(.wide, precision: .float32) { #expect($0.model.text.absorbedLength(upTo: 96) == 0) }
    }

    @Test("a text gives the same bytes alone and with others at its picture", arguments: Precision.allCases)
    func texts(precision: Precision) throws {
        try withSession(.wide, precision: precision) { session in
            let image = try session.tinyImage()
            let texts = try (0..<70).map { try session.tinyText(captions[$0 * $0 % 7 % 4]) }
            let together = try session.match(image, texts)
            for index in 0..<12 { try #expect(session.match(image, texts[index]) == together[index]) }
            for index in texts.indices {
                #expect(together[index] == together[texts.firstIndex { $0.ids == texts[index].ids } ?? 0])
            }
        }
    }

    @Test("a picture gives the same bytes alone and with others for one text", arguments: Precision.allCases, [1, 3])
    func pictures(precision: Precision, threads: Int) throws {
        try withSession(.wide, precision: precision, threads: threads) { session in
            // More pictures than are fused at one time.
            let images = try (0..<2 * ForwardPass.picturesTogether + 3).map { try session.tinyImage(seed: UInt64($0)) }
            for caption in captions {
                let text = try session.tinyText(caption)
                let together = try session.match(images, text)
                #expect(together.count == images.count && Set(together.map(\.itmLogit)).count > images.count / 2)
                for (image, match) in zip(images, together) { try #expect(session.match(image, text) == match) }
            }
            #expect(try session.match([], session.tinyText("blue")).isEmpty)
        }
    }

    @Test("a search ranks by the matches of single pairs")
    func search() throws {
        try withSession(.wide) { session in
            let text = try session.tinyText("a red dog")
            let images = try (0..<20).map { try session.tinyImage(seed: UInt64($0)) }
            var search = try PictureSearch(text, rerank: 18, session: session)
            for image in images { try search.add(image) }
            let ranking = try search.ranking { images[$0] }
            #expect(ranking.prefix(18).allSatisfy { $0.itmLogit != nil } && ranking.suffix(2).allSatisfy { $0.itmLogit == nil })
            for ranked in ranking.prefix(18) {
                let match = try session.match(images[ranked.index], text)
                #expect(match.itmLogit == ranked.itmLogit && match.similarity == ranked.similarity)
            }
        }
    }

    @Test("the class token alone is row 0 of all fused tokens", arguments: Precision.allCases)
    func classToken(precision: Precision) throws {
        try withSession(.wide, precision: precision) { session in
            let image = try session.tinyImage()
            let texts = try captions.map { try session.tinyText($0) }
            try session.pass { pass throws(AlbefError) in
                let (states, sequences) = pass.placeTexts(texts.map(\.tokens))
                pass.fuse(states, sequences, [image])
                let (again, _) = pass.placeTexts(texts.map(\.tokens))
                let alone = pass.classTokens(again, sequences, [([image], texts.count)])
                for (text, rows) in sequences.ranges.enumerated() {
                    let expected: [Float] = pass.arena.read(states.rows(rows.lowerBound..<rows.lowerBound + 1))
                    #expect(pass.arena.read(alone.rows(text..<text + 1)) == expected)
                }
            }
        }
    }

    @Test("a trace and a heatmap have the logit of a plain match", arguments: Precision.allCases, captions)
    func observed(precision: Precision, caption: String) throws {
        try withSession(.wide, precision: precision) { session in
            let prepared = try PreparedImage(pixels: TinyModel().pixels(), for: session.model)
            let image = try session.encode(prepared)
            let text = try session.model.prepare(caption, for: .caption)
            let match = try session.match(image, session.encode(text))
            let trace = try session.trace(Session.TraceRequest(image: prepared, caption: text))
            #expect(trace.tensor("itm_logits")?.floats.last == match.itmLogit)
            for layer in 2...3 {
                let found = try session.ground(image, session.encode(text), layer: layer)
                #expect(found.itmLogit == match.itmLogit)
                if layer == 2 { #expect(trace.tensor("gradcam")?.floats == found.tokenMaps) }
            }
        }
    }

    @Test("the class token that a classifier reads is that of its trace", arguments: [2, 3], captions)
    func classified(classes: Int, caption: String) throws {
        try withSession(.wideClassifying(classes)) { session in
            let left = try PreparedImage(pixels: TinyModel().pixels(seed: 1), for: session.model)
            let right = try PreparedImage(pixels: TinyModel().pixels(seed: 2), for: session.model)
            let text = try session.model.prepare(caption, for: .caption)
            let trace = try session.trace(
                Session.TraceRequest(image: left, right: classes == 2 ? right : nil, caption: text))
            let images = try (session.encode(left), session.encode(right))
            let own = try session.encode(text)
            let found = try classes == 2 ? session.reason(images.0, images.1, own) : session.entail(images.0, own)
            #expect(trace.tensor(classes == 2 ? "nlvr_logits" : "entailment_logits")?.floats == found.logits)
        }
    }

    @Test("a session's plan holds for texts of every length, alone and together")
    func plan() throws {
        for tiny in [TinyModel.wide, .wideClassifying(2), .wideClassifying(3), .manyHeaded] {
            try withSession(tiny) { session in
                try session.pass { pass throws(AlbefError) in try pass.runLargest() }
                #expect(session.peakBytes == session.plannedBytes)
                let image = try session.tinyImage()
                let texts = try (1...40).map { count in
                    try session.tinyText(Array(repeating: "dog", count: count).joined(separator: " "), .caption)
                }
                if session.model.heads.contains(.matching) {
                    _ = try session.match(image, texts)
                    for text in texts.prefix(8) { _ = try session.match(image, Array(repeating: text, count: 90)) }
                    for text in texts { _ = try session.match(Array(repeating: image, count: 40), text) }
                    for text in texts { _ = try session.ground(image, text) }
                }
                if session.model.heads.contains(.entailment) {
                    _ = try session.entail(image, texts)
                    for text in texts.prefix(8) { _ = try session.entail(image, Array(repeating: text, count: 90)) }
                }
                if session.model.heads.contains(.reasoning) { _ = try session.reason(image, image, texts) }
                #expect(session.peakBytes == session.plannedBytes)
            }
        }
    }
}
