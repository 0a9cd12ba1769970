import AlbefKernels
import AlbefModelFile
import AlbefTensor
import AlbefTestSupport
import Testing

@testable import Albef

@Suite("Tasks")
struct TaskTests {
    @Test("candidates are ranked by score, and give the same bytes alone and among longer ones", arguments: Precision.allCases)
    func answers(precision: Precision) throws {
        try withSession(precision: precision) { session in
            let image = try session.tinyImage()
            let question = try session.tinyText("what color is the dog", .question)
            let list = try session.model.answerList()
            let ranked = try session.answer(image, question, list)
            #expect(ranked.count == list.answers.count)
            #expect(zip(ranked, ranked.dropFirst()).allSatisfy { $0.score >= $1.score })
            let total = ranked.reduce(0) { $0 + Double($1.probability) }
            #expect(abs(total - 1) < 1e-5)
            for answer in ranked {
                #expect(list.answers[answer.index] == answer.answer)
                let alone = try session.answer(image, question, session.model.answerList([answer.answer]))
                #expect(alone.count == 1 && alone[0].score == answer.score && alone[0].probability == 1)
            }
        }
    }

    @Test("only the 128 candidates with the most probable first token are scored, ties by index")
    func shortlist() throws {
        try withSession { session in
            let image = try session.tinyImage()
            let question = try session.tinyText("what is on the left", .question)
            // 100 equal candidates of each first token: whichever is more probable comes whole, the other by index.
            let list = try session.model.answerList((0..<200).map { $0 % 2 == 0 ? "red dog" : "two" })
            let ranked = try session.answer(image, question, list)
            #expect(ranked.count == 128)
            let even = ranked.filter { $0.index % 2 == 0 }.map(\.index).sorted()
            let odd = ranked.filter { $0.index % 2 == 1 }.map(\.index).sorted()
            #expect(even == Array(stride(from: 0, to: even.count * 2, by: 2)))
            #expect(odd == Array(stride(from: 1, to: odd.count * 2, by: 2)))
            #expect(Set([even.count, odd.count]) == [100, 28])
        }
    }

    @Test("a heatmap can be taken of every fusion layer and of no other", arguments: Precision.allCases)
    func layers(precision: Precision) throws {
        try withSession(precision: precision) { session in
            let image = try session.tinyImage()
            let text = try session.tinyText("a dog playing on the left", .caption)
            let logit = try session.match(image, text).itmLogit
            var maps: Set<[Float]> = []
            for layer in session.model.gradCAMLayers {
                let result = try session.ground(image, text, layer: layer)
                #expect(result.itmLogit == logit && result.layer == layer)
                #expect(result.tokenMaps.count == text.ids.count * 9)
                #expect(result.tokenMaps.allSatisfy { $0 >= 0 } && result.tokenMaps.contains { $0 > 0 })
                #expect(result.words.map(\.word) == ["a", "dog", "playing", "on", "the", "left"])
                #expect(result.words[0].heatmap.values == Array(result.tokenMaps[9..<18]))
                maps.insert(result.heatmap.values)
            }
            #expect(maps.count == 2)
            try #expect(session.ground(image, text).layer == 2)
            for layer in [-1, 0, 1, 4, Int.max] {
                let error = #expect(throws: AlbefError.self) { try session.ground(image, text, layer: layer) }
                #expect(error?.kind == .usage && error?.description.contains("2 to 3") == true)
            }
        }
    }

    @Test("pictures are ranked by match logit among the re-ranked, then by similarity", arguments: [0, 1, 4, 100])
    func search(rerank: Int) throws {
        try withSession { session in
            let text = try session.tinyText("a red dog")
            var search = try PictureSearch(text, rerank: rerank, session: session)
            var images: [EncodedImage] = []
            for seed in [3, 4, 5, 3, 6, 7, 8, 9] as [UInt64] {
                images.append(try session.tinyImage(seed: seed))
                // A picture whose tokens are at hand, and one whose feature alone is.
                let image = images[images.count - 1]
                if seed.isMultiple(of: 2) {
                    try search.add(image)
                } else {
                    try search.add(feature: #require(image.feature))
                }
            }
            var encoded: [Int] = []
            let ranking = try search.ranking { index in
                encoded.append(index)
                return images[index]
            }
            #expect(encoded.allSatisfy { [0, 2, 3, 5, 7].contains($0) } && Set(encoded).count == encoded.count)
            #expect(encoded.count == ranking.count { $0.itmLogit != nil && [0, 2, 3, 5, 7].contains($0.index) })
            #expect(ranking.map(\.index).sorted() == Array(0..<8))
            let scored = min(rerank, 8)
            #expect(ranking.prefix(scored).allSatisfy { $0.itmLogit != nil && $0.match != nil })
            #expect(ranking.dropFirst(scored).allSatisfy { $0.itmLogit == nil && $0.match == nil })
            #expect(zip(ranking.prefix(scored), ranking.prefix(scored).dropFirst()).allSatisfy { $0.itmLogit! >= $1.itmLogit! })
            let rest = ranking.dropFirst(scored)
            #expect(zip(rest, rest.dropFirst()).allSatisfy { $0.similarity >= $1.similarity })
            // Equal pictures keep their order.
            let places = [0, 3].map { index in ranking.firstIndex { $0.index == index }! }
            #expect(places[0] < places[1])
            for result in ranking.prefix(scored) {
                let match = try session.match(images[result.index], text)
                #expect(match.itmLogit == result.itmLogit && match.similarity == result.similarity)
            }
            let least = ranking.prefix(scored).map(\.similarity).min() ?? 2
            #expect(rest.allSatisfy { $0.similarity <= least })
        }
    }

    // 80 captions are more than are encoded together.
    @Test("captions are ranked for a picture as pictures are for a caption", arguments: [1, 20])
    func captions(copies: Int) throws {
        try withSession { session in
            let image = try session.tinyImage()
            let some = ["a red dog", "two blue cats", "a tree", "a red dog"]
            let captions = Array(repeating: some, count: copies).flatMap(\.self)
            let prepared = try captions.map { try session.model.prepare($0, for: .retrieval) }
            let texts = try prepared.map { try session.encode($0) }
            let ranking = try session.rank(prepared, for: image, rerank: 3)
            #expect(ranking.map(\.index).sorted() == Array(captions.indices))
            #expect(ranking.prefix(3).allSatisfy { $0.itmLogit != nil } && ranking.dropFirst(3).allSatisfy { $0.itmLogit == nil })
            let least = ranking.prefix(3).map(\.similarity).min() ?? 2
            #expect(ranking.dropFirst(3).allSatisfy { $0.similarity <= least })
            for result in ranking {
                let match = try session.match(image, texts[result.index])
                #expect(result.similarity == match.similarity)
                if let logit = result.itmLogit { #expect(logit == match.itmLogit) }
            }
            try #expect(session.rank(prepared, for: image, rerank: 0).allSatisfy { $0.match == nil })
        }
    }

    @Test("a picture is most similar to itself")
    func pictures() throws {
        try withSession { session in
            let features = try [3, 4, 5].map { try session.tinyImage(seed: $0).feature! }
            let ranking = try session.rank(features, like: features[1])
            #expect(ranking[0].index == 1 && abs(ranking[0].similarity - 1) < 1e-6)
        }
    }
}
