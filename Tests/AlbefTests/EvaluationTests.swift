import AlbefFiles
import AlbefImage
import AlbefTensor
import AlbefTestSupport
import Testing

@testable import Albef

/// A folder of random pictures of different sizes; `a.png` and `d.png` are the same picture.
struct Pictures {
    let folder: TemporaryFolder
    let names = ["a.png", "b.png", "c.png", "d.png", "e.png", "f.png"]

    init() throws {
        folder = try TemporaryFolder()
        for (index, name) in names.enumerated() {
            var numbers = RandomNumbers(seed: UInt64(name == "d.png" ? 0 : index))
            let width = name == "d.png" ? 20 : 20 + 3 * index
            let pixels = (0..<width * 26 * 3).map { _ in UInt8(truncatingIfNeeded: numbers.bits() >> 24) }
            try writePNG(Picture(width: width, height: 26, pixels: pixels), to: folder.file(name))
        }
    }

    func annotations(_ text: String) throws -> Annotations {
        try Annotations(path: folder.write(Array(text.utf8), "annotations.json"))
    }
}

struct WrongForm: Error {}

private let retrievalText = """
    [{"image": "a.png", "caption": ["a red dog", "two cats playing"]}, {"image": "b.png", "caption": "blue tree"},
     {"image": "c.png", "caption": ["the small cat", "a big dog on the left", "is it red"]},
     {"image": "d.png", "caption": ["a red dog"]}, {"image": "e.png", "caption": "no tree in the right"},
     {"image": "f.png", "caption": ["with two", "big"]}]
    """

@Suite("Evaluation")
struct EvaluationTests {
    @Test("retrieval is the official measure, computed over the whole matrix of scores", arguments: [1, 2, 4, 128, nil])
    func retrieval(rerank: Int?) throws {
        try withSession { session in
            let pictures = try Pictures()
            guard case .retrieval(let records) = try pictures.annotations(retrievalText) else { throw WrongForm() }
            let evaluator = Evaluator(session: session, root: pictures.folder.path)
            let result = try evaluator.retrieval(records, rerank: rerank)
            #expect(result.task == "retrieval" && result.cases == 6)

            let owners = records.indices.flatMap { Array(repeating: $0, count: records[$0].captions.count) }
            let texts = try records.flatMap(\.captions).map { try session.tinyText($0) }
            let images = try records.map { try session.encode(decodePicture(path: pictures.folder.file($0.image))) }
            let pairs = try images.map { image in try texts.map { try session.match(image, $0) } }
            let similarities = pairs.map { $0.map { $0.similarity ?? .nan } }
            let logits = pairs.map { $0.map(\.itmLogit) }
            let k = rerank ?? 128
            let matrix = scored(similarities, logits, k)
            let turned = scored(transposed(similarities), transposed(logits), k)
            let expected = RetrievalMetrics(
                imageRanks: matrix.indices.map { image in sorted(matrix[image]).firstIndex { owners[$0] == image } ?? -1 },
                textRanks: turned.indices.map { text in sorted(turned[text]).firstIndex(of: owners[text]) ?? -1 })
            for (index, rank) in RetrievalMetrics.ranks.enumerated() {
                #expect(result["txt_r\(rank)"] == expected.textRecall[index])
                #expect(result["img_r\(rank)"] == expected.imageRecall[index])
            }
            #expect(result["r_mean"] == expected.mean)
            #expect(result["txt_r_mean"] == expected.textMean && result["img_r_mean"] == expected.imageMean)

            let contrastive = try evaluator.retrieval(records, rerank: 0)
            let byCosine = RetrievalMetrics(
                imageRanks: similarities.indices.map { image in
                    sorted(similarities[image]).firstIndex { owners[$0] == image } ?? -1
                },
                textRanks: transposed(similarities).enumerated().map { sorted($1).firstIndex(of: owners[$0]) ?? -1 })
            for name in ["txt_r1", "img_r1", "txt_r5", "img_r5", "r_mean"] {
                #expect(contrastive[name] == result["itc_" + name])
            }
            #expect(contrastive["r_mean"] == byCosine.mean && contrastive["itc_r_mean"] == nil)
            let first = try #require(result.results.array?.first)
            #expect(first["image"]?.string == "a.png" && first["caption_ranks"]?.array?.count == 2)
        }
    }

    private func scored(_ similarities: [[Float]], _ logits: [[Float]], _ k: Int) -> [[Float]] {
        zip(similarities, logits).map { similarity, logit in
            let chosen = Set(sorted(similarity).prefix(k))
            return logit.indices.map { chosen.contains($0) ? logit[$0] : -100 }
        }
    }

    private func sorted(_ scores: [Float]) -> [Int] { scores.indices.sorted { (scores[$0], $1) > (scores[$1], $0) } }

    private func transposed(_ rows: [[Float]]) -> [[Float]] { rows[0].indices.map { column in rows.map { $0[column] } } }

    @Test("the best few of many candidates are those of a full sort, ties by index")
    func best() {
        var numbers = SeededGenerator()
        for count in [0, 1, 2, 7, 39, 40, 41] {
            let scores = (0..<40).map { _ in Float(Int.random(in: 0..<9, using: &numbers)) }
            let full = sorted(scores)
            #expect(Ranking.best(count, of: 40) { scores[$0] } == Array(full.prefix(count)), "seed \(numbers.seed)")
            let ascending = Ranking.best(count, of: 40, in: .planning()) { scores[$0] }.elements
            #expect(ascending == full.prefix(count).sorted(), "seed \(numbers.seed)")
            for index in scores.indices {
                #expect(Ranking.rank(of: index..<index + 1, in: scores) == full.firstIndex(of: index), "seed \(numbers.seed)")
            }
            #expect(Ranking.rank(of: 5..<9, in: scores) == full.firstIndex { (5..<9).contains($0) })
        }
        #expect(Ranking.rank(of: 0..<0, in: [1, 2]) == 2)
    }

    @Test("questions are answered as one by one, and counted in all and by kind")
    func questions() throws {
        try withSession { session in
            let pictures = try Pictures()
            let list = try session.model.answerList()
            let text = """
                [{"image": "a.png", "question": "what color is the dog?", "question_id": 7, "answer": "ANSWER 0", "kind": "color"},
                 {"image": "a.png", "question": "is it red?", "question_id": "x", "answer": ["zebra", "horse"], "kind": "other"},
                 {"image": "b.png", "question": "what is on the left?", "question_id": 9, "answer": ["ANSWER 2", "ANSWER 2"],
                  "kind": "color"},
                 {"image": "b.png", "question": "what is it?", "question_id": 10}]
                """
            guard case .questions(let asked) = try pictures.annotations(text) else { throw WrongForm() }
            let answers = try asked.map { record in
                try session.answer(
                    session.encode(decodePicture(path: pictures.folder.file(record.image))),
                    session.tinyText(record.question, .question), list)[0].answer
            }
            var filled = text
            for (index, answer) in answers.enumerated() {
                filled = filled.split(separator: "ANSWER \(index)", omittingEmptySubsequences: false).joined(separator: answer)
            }
            guard case .questions(let records) = try pictures.annotations(filled) else { throw WrongForm() }
            let result = try Evaluator(session: session, root: pictures.folder.path).questions(records, candidates: list)
            #expect(result.task == "vqa" && result.cases == 4)
            // Of two equal answers one is left out, and one match counts a third. The last question has no answers.
            let third = 1.0 / 3
            #expect(abs((result["accuracy"] ?? -1) - 100 * (1 + third) / 3) < 1e-9)
            #expect(abs((result["color"] ?? -1) - 100 * (1 + third) / 2) < 1e-9 && result["other"] == 0)
            let ids: [JSONValue] = [7, "x", 9, 10]
            #expect(result.results == .array(zip(ids, answers).map { ["question_id": $0, "answer": .string($1)] }))

            let unanswered = try Evaluator(session: session, root: pictures.folder.path)
                .questions([records[3]], candidates: list)
            #expect(unanswered.metrics.isEmpty && unanswered.results.array?.count == 1)
        }
    }

    @Test(
        "grounding counts peaks inside of boxes and best proposals that overlap by a half",
        arguments: [(GroundingMode.itm, nil), (.itm, 3), (.itc, nil), (.itc, 0)] as [(GroundingMode, Int?)])
    func grounding(mode: GroundingMode, layer: Int?) throws {
        try withSession { session in
            let pictures = try Pictures()
            let expressions = ["a red dog", "the tree on the left", "two cats"]
            var records: [String] = []
            var proposals: [String: [[Double]]] = [:]
            for (index, name) in ["b.png", "b.png", "c.png"].enumerated() {
                let picture = try decodePicture(path: pictures.folder.file(name))
                let text = try session.tinyText(expressions[index], .caption)
                let heatmap =
                    mode == .itm
                    ? try session.ground(session.encode(picture), text, layer: layer).heatmap
                    : try session.groundByFeature(session.prepare(picture), text, block: layer).heatmap
                let map = heatmap.upsampled(width: picture.width, height: picture.height, kernels: session.kernels)
                let top = map.indices.max { (map[$0], $1) < (map[$1], $0) } ?? 0
                let x = top % picture.width, y = top / picture.width
                // The second box begins just right of the peak.
                records.append(
                    #"{"image": "\#(name)", "text": "\#(expressions[index])", "ref_id": \#(index), "#
                        + #""bbox": [\#(index == 1 ? x + 1 : x), \#(y), 6, 6]}"#)
                if index == 2 { proposals[name] = [[Double(x), Double(y), 6, 5]] }
            }
            proposals["b.png"] = [[1000, 1000, 4, 4]]
            guard case .grounding(let referred) = try pictures.annotations("[\(records.joined(separator: ","))]") else {
                throw WrongForm()
            }
            let evaluator = Evaluator(session: session, root: pictures.folder.path)
            let alone = try evaluator.grounding(referred, mode: mode, layer: layer)
            #expect(alone.metrics.map(\.name) == ["peak_in_box"])
            let result = try evaluator.grounding(referred, proposals: { proposals[$0] ?? [] }, mode: mode, layer: layer)
            #expect(result.task == "grounding" && result.cases == 3)
            #expect(abs((result["peak_in_box"] ?? -1) - 200.0 / 3) < 1e-9)
            #expect(abs((result["box_accuracy"] ?? -1) - 100.0 / 3) < 1e-9)
            #expect(result.results.array?.map { $0["ref_id"]?.int } == [0, 1, 2])
        }
    }

    @Test("a missing picture and an unreadable one are errors that name the file, of different kinds")
    func pictures() throws {
        try withSession { session in
            let pictures = try Pictures()
            try pictures.folder.write(Array("no picture".utf8), "bad.png")
            let evaluator = Evaluator(session: session, root: pictures.folder.path)
            for (name, kind) in [("gone.png", FailureKind.missingInput), ("bad.png", .badData)] {
                let records = [
                    #"[{"image": "\#(name)", "caption": "a dog"}]"#,
                    #"[{"image": "\#(name)", "question": "what", "question_id": 1}]"#,
                    #"[{"image": "\#(name)", "text": "a dog", "bbox": [0, 0, 1, 1]}]"#,
                ]
                for text in records {
                    let annotations = try pictures.annotations(text)
                    let error = failure {
                        switch annotations {
                        case .retrieval(let records): _ = try evaluator.retrieval(records)
                        case .questions(let records):
                            _ = try evaluator.questions(records, candidates: session.model.answerList())
                        case .grounding(let records): _ = try evaluator.grounding(records)
                        case .entailment, .reasoning: throw WrongForm()
                        }
                    }
                    #expect((error as? any ClassifiedError)?.kind == kind)
                    #expect("\(error.map { "\($0)" } ?? "")".contains(name))
                }
            }
        }
    }

    @Test("re-ranking needs the matching head, and says so before any picture is read")
    func heads() throws {
        var tiny = TinyModel()
        tiny.matching = false
        try withSession(tiny) { session in
            let folder = try TemporaryFolder()
            let records = [Annotations.Captioned(image: "gone.png", captions: ["a dog"])]
            let error = #expect(throws: AlbefError.self) {
                try Evaluator(session: session, root: folder.path).retrieval(records)
            }
            #expect(error?.description.contains("itm_head") == true)
        }
    }

    private func failure(_ body: () throws -> Void) -> (any Error)? {
        do {
            try body()
            return nil
        } catch { return error }
    }
}
