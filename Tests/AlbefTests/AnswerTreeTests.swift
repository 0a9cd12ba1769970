import AlbefKernels
import AlbefLayers
import AlbefModelFile
import AlbefTensor
import AlbefTestSupport
import Testing

@testable import Albef

@Suite("Beginnings that candidates share")
struct AnswerTreeTests {
    @Test("each beginning is one row, behind its ancestors, and predicts each next token once")
    func shape() {
        let arena = Arena.planning()
        var tree = AnswerTree(rows: 20, candidates: 7, longest: 6, in: arena)
        // [CLS] is 2, [SEP] 3.
        let candidates: [[Int32]] = [[2, 3], [2, 5, 3], [2, 5, 6, 3], [2, 5, 6, 3], [2, 5, 6, 7, 8, 3], [2, 5, 9, 3], [2, 7, 5, 3]]
        var growths: [Int] = []
        var asked: [Range<Int>] = []
        for candidate in candidates {
            growths.append(tree.growth(candidate))
            asked.append(tree.add(candidate))
        }
        #expect(growths == [0, 1, 1, 0, 2, 1, 2])
        #expect(tree.ids.elements == [5, 6, 7, 8, 9, 7, 5])
        let targets = (0..<7).map { row in tree.targets.elements.filter { $0.row == row }.map(\.token) }
        #expect(targets == [[3, 6, 9], [3, 7], [8], [3], [3], [5], [3]])
        #expect((0..<tree.branches.count).map { tree.branches[$0].rows } == [0..<1, 1..<2, 2..<4, 4..<5, 5..<7])
        #expect((0..<tree.branches.count).map { tree.branches[$0].depth } == [0, 1, 2, 1, 0])
        #expect(tree.branches.ancestors == [[], [0], [0, 1], [0], []])
        for (candidate, asked) in zip(candidates, asked) {
            #expect(asked.map { tree.targets[tree.asked[$0]].token } == Array(candidate.dropFirst(2)))
        }
    }

    @Test("ancestors that do not lie together are told by their rows")
    func scattered() {
        let arena = Arena.planning()
        var tree = AnswerTree(rows: 20, candidates: 3, longest: 5, in: arena)
        for candidate in [[2, 5, 6, 6, 3], [2, 5, 7, 6, 3], [2, 5, 7, 7, 3]] as [[Int32]] { _ = tree.add(candidate) }
        #expect(tree.branches.ancestors == [[], [0], [0, 3]])
    }
}

extension Branches {
    fileprivate var ancestors: [[Int]] { (0..<count).map { ancestors(of: $0) } }
}

extension Session {
    /// The score of each candidate, decoded alone and without any tree.
    fileprivate func plainScores(_ image: EncodedImage, _ question: EncodedText, _ list: AnswerList) throws -> [Float] {
        try pass(tokens: max(question.ids.count, list.longest)) { pass throws(AlbefError) in
            guard let decoder = pass.model.decoder else { throw pass.model.missing(.answering) }
            let (states, sequences) = pass.placeTexts([question.tokens])
            pass.fuse(states, sequences, [image])
            let source = decoder.keysValues(states, in: pass.work)
            return list.ids.map { ids in pass.arena.scoped { pass.plainScore(ids, source, decoder) } }
        }
    }
}

extension ForwardPass {
    fileprivate func plainScore(_ ids: [Int32], _ source: ArenaList<KeysValues>, _ decoder: AnswerDecoder) -> Float {
        let rows = ids.count - 1
        let tokens = place(Array(ids.dropLast()), Shape(rows)), targets = place(Array(ids.dropFirst()), Shape(rows))
        let x = work.reserve(Shape(rows, decoder.width))
        decoder.embeddings(tokens, sequences: [0..<rows], to: x, in: work)
        for (layer, keysValues) in zip(decoder.layers, source.elements) {
            layer(x, sequences: [0..<rows], sources: [.projected(keysValues)], to: x, in: work)
        }
        let logits = work.reserve(Shape(rows, decoder.vocabulary)), logs = work.reserve(Shape(rows))
        decoder.logits(x, to: logits, in: work)
        work.kernels.logSoftmaxGather(logits, ids: targets, to: logs, in: arena)
        let total = work.reserve(Shape(1)), score = work.reserve(Shape(1, 1))
        work.kernels.sum(logs, to: total, in: arena)
        work.kernels.add(logs.elements(0..<1).reshaped(Shape(1, 1)), total.reshaped(Shape(1, 1)), to: score, in: arena)
        return arena.element(0, of: score)
    }
}

/// Random candidates: of one piece, of one word with many pieces, with long common beginnings, empty ones, duplicates.
private func randomAnswers(_ numbers: inout SeededGenerator, count: Int, longest: Int) -> [String] {
    let words = TinyModel.vocabulary.dropFirst(5).filter { !$0.hasPrefix("##") }
    var answers: [String] = []
    for _ in 0..<count {
        var pieces: [String] = []
        if Bool.random(using: &numbers), let old = answers.randomElement(using: &numbers) {
            let all = old.split(separator: " ").map(String.init)
            pieces = Array(all.prefix(Int.random(in: 0...all.count, using: &numbers)))
        }
        for _ in 0..<Int.random(in: 0...3, using: &numbers) {
            // Few words at the beginning make common ones.
            let some = words.prefix(pieces.isEmpty ? 4 : words.count)
            pieces.append(some.randomElement(using: &numbers)! + ["", "", "ing", "s"].randomElement(using: &numbers)!)
        }
        if Int.random(in: 0..<15, using: &numbers) == 0 {
            pieces += Array(repeating: words.randomElement(using: &numbers)!, count: Int.random(in: 5...longest / 2, using: &numbers))
        }
        answers.append(pieces.prefix(longest / 2).joined(separator: " "))
    }
    return answers
}

@Suite("Ranking of answers by common beginnings")
struct AnswerRankingTests {
    @Test(
        "every score has the bytes of its candidate decoded alone", arguments: Precision.allCases,
        [(1, 12), (3, 12), (40, 12), (300, 40), (128, 90)])
    func plain(precision: Precision, size: (count: Int, longest: Int)) throws {
        try withSession(precision: precision) { session in
            var numbers = SeededGenerator("answers \(size)")
            let list = try session.model.answerList(randomAnswers(&numbers, count: size.count, longest: size.longest))
            let image = try session.tinyImage()
            let question = try session.tinyText("what color is the dog", .question)
            let ranked = try session.answer(image, question, list)
            #expect(ranked.count == min(size.count, Session.scoredAnswers))
            let expected = try session.plainScores(image, question, list)
            for answer in ranked {
                #expect(
                    answer.score.bitPattern == expected[answer.index].bitPattern,
                    "'\(answer.answer)', seed \(numbers.seed)")
            }
            #expect(Set(ranked.map(\.index)).count == ranked.count)
        }
    }

    @Test("scores have the same bytes on every instruction set and with any number of threads", arguments: Precision.allCases)
    func everywhere(precision: Precision) throws {
        var numbers = SeededGenerator()
        let answers = randomAnswers(&numbers, count: 60, longest: 20)
        var expected: [Answer]?
        for isa in ISA.supported {
            for threads in [1, 2, 8] {
                try withSession(precision: precision, isa: isa, threads: threads) { session in
                    let ranked = try session.answer(
                        session.tinyImage(), session.tinyText("is a dog in the tree", .question),
                        session.model.answerList(answers))
                    if let expected {
                        #expect(ranked == expected, "\(isa.rawValue), \(threads) threads, seed \(numbers.seed)")
                    } else {
                        expected = ranked
                    }
                }
            }
        }
    }

    @Test("a list of one's own ranks as the same list in the model file", arguments: Precision.allCases)
    func ownList(precision: Precision) throws {
        var numbers = SeededGenerator()
        let answers = randomAnswers(&numbers, count: 200, longest: 20)
        var inFile: [Answer] = []
        var tiny = TinyModel()
        tiny.answers = answers
        func rank(_ session: Session, _ list: [String]?) throws -> [Answer] {
            try session.answer(
                session.tinyImage(), session.tinyText("what is on the left", .question), session.model.answerList(list))
        }
        try withSession(tiny, precision: precision) { session in
            inFile = try rank(session, nil)
            try #expect(rank(session, answers) == inFile)
        }
        try withSession(precision: precision) { session in try #expect(rank(session, answers) == inFile, "seed \(numbers.seed)") }
    }

    @Test("the plan holds for the largest trees of any position table", arguments: [2, 3, 4, 8, 33, 96])
    func plan(positions: Int) throws {
        var tiny = TinyModel()
        tiny.configuration.maxPositions = positions
        try withSession(tiny) { session in
            let image = try session.tinyImage()
            let question = try session.tinyText("a", .question)
            try session.pass { pass throws(AlbefError) in try pass.runLargest() }
            #expect(session.peakBytes == session.plannedBytes)
            var numbers = SeededGenerator("positions \(positions)")
            let words = TinyModel.vocabulary.dropFirst(5).filter { !$0.hasPrefix("##") }
            for length in Set([0, 1, positions - 2]).sorted() where length <= positions - 2 {
                let answers = (0..<128).map { _ in
                    (0..<length).map { _ in words.randomElement(using: &numbers)! }.joined(separator: " ")
                }
                let ranked = try session.answer(image, question, session.model.answerList(answers))
                #expect(ranked.count == 128)
                #expect(session.peakBytes <= session.plannedBytes)
            }
        }
    }
}
