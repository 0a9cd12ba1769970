import AlbefKernels
import AlbefModelFile
import AlbefTensor
import AlbefTestSupport
import Foundation
import Testing

@testable import Albef

/// Enough blocks for one that carries all rows of the gradient, and few tokens.
private var deep: TinyModel {
    var tiny = TinyModel()
    (tiny.configuration.imageSize, tiny.configuration.visionLayers) = (16, 4)
    return tiny
}

@Suite("Heatmaps of similarities and answers")
struct HeatmapTests {
    private func image(_ tiny: TinyModel, _ session: Session) throws -> PreparedImage {
        try PreparedImage(pixels: tiny.pixels(), for: session.model)
    }

    @Test("a similarity's map is that of differences in double precision", arguments: 0..<4)
    func similarityAgainstDifferences(block: Int) throws {
        let tiny = deep
        try withSession(tiny, precision: .float32) { session in
            let image = try image(tiny, session)
            let pixels = try #require(session.trace(Session.TraceRequest(image: image)).tensor("pixels")).floats
            let reference = ReferenceVision(tiny)
            let input = (0..<block).reduce(reference.tokens(pixels.map(Double.init))) { reference.block($1, $0).output }
            let attention = reference.block(block, input).attention
            let own = reference.feature(from: block, input)
            // How the feature moves with each probability: [heads][patches][width].
            let moves = attention.indices.map { head in
                (1...4).map { key in
                    func at(_ amount: Double) -> [Double] {
                        reference.feature(from: block, input, nudge: ReferenceVision.Nudge(head: head, key: key, amount: amount))
                    }
                    return zip(at(1e-4), at(-1e-4)).map { ($0 - $1) / 2e-4 }
                }
            }
            var greatest = 0.0
            for caption in ["a red dog", "two small cats", "the left of a tree"] {
                let text = try session.tinyText(caption)
                let feature = try #require(text.feature).map(Double.init)
                let found = try session.groundByFeature(image, text, block: block)
                #expect(abs(dot(own, feature) - Double(found.similarity)) < 1e-5 && found.block == block)
                let expected = (1...4).map { key in
                    attention.indices.reduce(0.0) {
                        $0 + attention[$1][key] * max(0, dot(moves[$1][key - 1], feature)) / Double(attention.count)
                    }
                }
                let top = expected.max() ?? 0
                greatest = max(greatest, top)
                for (own, truth) in zip(found.heatmap.values, expected) {
                    #expect(abs(Double(own) - truth) <= 2e-5 * top, "\(caption): \(found.heatmap.values) against \(expected)")
                }
            }
            #expect(greatest > 1e-6)
        }
    }

    @Test("a similarity's map has the cosine of a match, and a block of its own", arguments: Precision.allCases)
    func similarity(precision: Precision) throws {
        let tiny = deep
        try withSession(tiny, precision: precision) { session in
            let image = try image(tiny, session)
            let text = try session.tinyText("a red dog")
            let match = try session.match(session.encode(image), text)
            var maps: Set<[Float]> = []
            for block in session.model.contrastiveGradCAMBlocks {
                let found = try session.groundByFeature(image, text, block: block)
                #expect(found.similarity == match.similarity && found.heatmap.rows == 2 && found.heatmap.columns == 2)
                #expect(found.heatmap.values.allSatisfy { $0 >= 0 })
                maps.insert(found.heatmap.values)
            }
            #expect(maps.count == 4)
            try #expect(session.groundByFeature(image, text).block == 2)
            for block in [-1, 4, Int.max] {
                let error = #expect(throws: AlbefError.self) { try session.groundByFeature(image, text, block: block) }
                #expect(error?.kind == .usage && error?.description.contains("0 to 3") == true)
            }
        }
        try withSession(precision: precision) { session in
            let image = try PreparedImage(pixels: TinyModel().pixels(), for: session.model)
            // Two blocks only: the configured 2 is beyond the last.
            try #expect(session.groundByFeature(image, session.tinyText("a red dog")).block == 1)
        }
    }

    @Test("every block gives the same bytes on every instruction set and with any number of threads", arguments: Precision.allCases)
    func sameBytes(precision: Precision) throws {
        let tiny = deep
        var expected: [[Float]]?
        for isa in ISA.supported {
            for threads in [1, 3] {
                try withSession(tiny, precision: precision, isa: isa, threads: threads) { session in
                    let image = try image(tiny, session)
                    let text = try session.tinyText("a red dog")
                    let maps = try (0..<4).map { try session.groundByFeature(image, text, block: $0).heatmap.values }
                    if let expected { #expect(maps == expected, "\(isa), \(threads) threads") } else { expected = maps }
                }
            }
        }
    }

    @Test("an answer's map has the score by which it was ranked, and a layer of its own", arguments: Precision.allCases)
    func answer(precision: Precision) throws {
        try withSession(precision: precision) { session in
            let image = try session.tinyImage()
            let question = try session.tinyText("what color is the dog", .question)
            var maps: Set<[Float]> = []
            for answer in try session.answer(image, question, session.model.answerList()) {
                for layer in session.model.gradCAMLayers {
                    let found = try session.groundAnswer(image, question, answer: answer.answer, layer: layer)
                    #expect(found.score == answer.score && found.layer == layer)
                    #expect(found.tokenMaps.count == question.ids.count * 9)
                    #expect(found.tokenMaps.allSatisfy { $0 >= 0 } && found.tokenMaps.contains { $0 > 0 })
                    #expect(found.words.map(\.word) == ["what", "color", "is", "the", "dog"])
                    #expect(found.words[0].heatmap.values == Array(found.tokenMaps[9..<18]))
                    maps.insert(found.heatmap.values)
                }
            }
            #expect(maps.count == 14)
            let error = #expect(throws: AlbefError.self) {
                try session.groundAnswer(image, question, answer: "yes", layer: 1)
            }
            #expect(error?.kind == .usage && error?.description.contains("2 to 3") == true)
        }
    }

    @Test("the gradient of an answer's score at the question agrees with differences", arguments: ["yes", "cat playing red dog"])
    func answerGradient(answer: String) throws {
        try withSession(precision: .float32) { session in
            let ids = try session.model.answerList([answer]).ids[0]
            let decoder = try #require(session.model.decoder)
            let width = session.model.configuration.textWidth
            var numbers = RandomNumbers(seed: UInt64(answer.utf8.count))
            let states = numbers.array(6 * width), direction = numbers.array(6 * width)
            func run(_ step: Float) throws -> (score: Float, gradient: [Float]) {
                try session.pass { pass throws(AlbefError) in
                    let moved = pass.place(zip(states, direction).map { $0 + step * $1 }, Shape(6, width))
                    let gradient = pass.place([Float](repeating: 0, count: states.count), moved.shape)
                    let score = try pass.gradient(
                        of: ids, sequence: [0..<ids.count - 1], moved, decoder, addingTo: gradient)
                    return (score, pass.arena.read(gradient))
                }
            }
            let step: Float = 1.0 / 128
            let measured = try Double(run(step).score - run(-step).score) / Double(2 * step)
            let computed = try zip(run(0).gradient, direction).reduce(0) { $0 + Double($1.0) * Double($1.1) }
            #expect(abs(computed - measured) < 5e-3 * max(1, abs(measured)), "\(computed) against \(measured)")
        }
    }

    @Test("a long question and a long answer grow the arena")
    func growth() throws {
        try TinyModel().withFile { path in
            let session = try Session(model: Model(path: path), kernels: Kernels(threads: 1), textLimit: 4)
            let image = try session.tinyImage()
            let words = Array(repeating: "playing", count: 30).joined(separator: " ")
            let question = try session.tinyText(words, .question)
            _ = try session.groundAnswer(image, question, answer: "yes")
            _ = try session.groundAnswer(image, session.tinyText("dog", .question), answer: words)
            #expect(session.textLimit == 64 && session.peakBytes <= session.plannedBytes)
        }
    }

    @Test("a model without the head of a score names it")
    func missingHeads() throws {
        var tiny = TinyModel()
        (tiny.contrastive, tiny.answering) = (false, false)
        try withSession(tiny) { session in
            let text = try session.tinyText("a dog")
            let image = try PreparedImage(pixels: tiny.pixels(), for: session.model)
            let contrastive = #expect(throws: AlbefError.self) { try session.groundByFeature(image, text) }
            #expect(contrastive?.description.contains(Head.contrastive.keyTensor) == true)
            let encoded = try session.encode(image)
            let answering = #expect(throws: AlbefError.self) { try session.groundAnswer(encoded, text, answer: "yes") }
            #expect(answering?.description.contains(Head.answering.keyTensor) == true)
        }
    }
}
