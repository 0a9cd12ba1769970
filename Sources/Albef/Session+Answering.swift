import AlbefLayers
import AlbefTensor

/// A candidate answer and its rank among the scored ones.
public struct Answer: Sendable, Equatable {
    /// As given in the list.
    public let answer: String
    /// Its place in the list.
    public let index: Int
    /// `log p(first token) + log p(all tokens)`: the first token counts twice, as in the published results.
    public let score: Float
    /// Softmax of the scores over the scored candidates.
    public let probability: Float
}

extension Session {
    /// How many candidates are scored in full.
    public static let scoredAnswers = 128

    /// Ranks candidate answers to a question about a picture.
    ///
    /// The decoder first predicts the token behind `[CLS]`. The `min(128, n)` candidates whose first token is most probable
    /// (ties: lower index first) are then scored by all their tokens, `[SEP]` included.
    ///
    /// - Parameters:
    ///   - question: Encoded from a text prepared as a question.
    ///   - candidates: From ``Model/answerList(_:)``.
    /// - Returns: The scored candidates, best first, ties by index.
    /// - Throws: ``AlbefError/missingHead(path:head:tensor:)``, ``AlbefError/nonFinite(stage:)``.
    public func answer(_ image: EncodedImage, _ question: EncodedText, _ candidates: AnswerList) throws(AlbefError)
        -> [Answer]
    {
        let tokens = max(question.ids.count, candidates.longest)
        return try pass(tokens: tokens) { pass throws(AlbefError) in
            guard let decoder = pass.model.decoder else { throw pass.model.missing(.answering) }
            return try pass.answer(image, question.tokens, candidates, decoder)
        }
    }
}

extension ForwardPass {
    /// Rows of decoder logits that exist at one time.
    static let logitRows = 32
    /// Tokens that so many rows can be asked for: each belongs to a candidate, or to a row behind it.
    private static let logitTargets = logitRows + Session.scoredAnswers

    func answer(
        _ image: EncodedImage, _ question: [Float], _ candidates: AnswerList, _ decoder: AnswerDecoder
    ) throws(AlbefError) -> [Answer] {
        let mark = arena.mark()
        defer { arena.release(to: mark) }
        let (states, sequences) = placeTexts([question])
        fuse(states, sequences, [image])
        try checkFinite(states, "fusion_tokens")
        let source = decoder.keysValues(states, in: work)
        let start = decoder.reserveKeysValues(rows: 1, in: work)

        let (chosen, firstLogs) = try shortlist(candidates, source, decoder, keeping: start)
        let firsts = place(firstLogs, Shape(1, chosen.count))
        let totals = work.reserve(Shape(1, chosen.count))
        let texts = chosen.map { candidates.ids[$0] }
        var tree = AnswerTree()
        var members: [Member] = []
        for place in texts.indices.sorted(by: { texts[$0].lexicographicallyPrecedes(texts[$1]) }) {
            if tree.rows > 0, tree.rows + tree.growth(texts[place]) > rowLimit {
                score(members, tree, after: start, source, decoder, firstLogs, to: totals)
                (tree, members) = (AnswerTree(), [])
            }
            members.append((place, tree.add(texts[place])))
        }
        score(members, tree, after: start, source, decoder, firstLogs, to: totals)

        let scores = work.reserve(Shape(1, chosen.count))
        let probabilities = work.reserve(Shape(1, chosen.count))
        work.kernels.add(firsts, totals, to: scores, in: arena)
        try checkFinite(scores, "vqa_answer_scores")
        work.kernels.softmax(scores, to: probabilities, in: arena)
        let scoreValues: [Float] = arena.read(scores)
        let probabilityValues: [Float] = arena.read(probabilities)
        let answers = chosen.indices.map { place in
            Answer(
                answer: candidates.answers[chosen[place]], index: chosen[place], score: scoreValues[place],
                probability: probabilityValues[place])
        }.sorted { ($0.score, $1.index) > ($1.score, $0.index) }
        observe(answers)
        return answers
    }

    /// The candidates whose first token is most probable after `[CLS]`, in ascending order of index, and the logarithms of
    /// those probabilities.
    ///
    /// - Parameter start: Receives what later tokens need of `[CLS]`.
    private func shortlist(
        _ candidates: AnswerList, _ source: [KeysValues], _ decoder: AnswerDecoder, keeping start: [KeysValues]
    ) throws(AlbefError) -> (chosen: [Int], firstLogs: [Float]) {
        let mark = arena.mark()
        defer { arena.release(to: mark) }
        let token = place(candidates.ids[0].prefix(1).map { $0 }, Shape(1))
        let state = work.reserve(Shape(1, decoder.width))
        decoder.decode(
            token, branches: [Branch(ancestors: [], rows: 0..<1)], keeping: start, question: source, to: state, in: work)
        let logits = work.reserve(Shape(1, decoder.vocabulary))
        decoder.logits(state, to: logits, in: work)
        try checkFinite(logits, "vqa_first_logits")
        work.observe("vqa_first_logits", logits.reshaped(Shape(decoder.vocabulary)))
        let probabilities = work.reserve(logits.shape)
        work.kernels.softmax(logits, to: probabilities, in: arena)
        let first: [Float] = arena.read(probabilities)
        let chosen = Ranking.best(Session.scoredAnswers, of: candidates.ids.count) { first[Int(candidates.ids[$0][1])] }
            .sorted()
        return (chosen, logProbabilities(logits, [chosen.map { candidates.ids[$0][1] }]))
    }

    /// A candidate by its place among the chosen ones, and what a tree predicts of it.
    private typealias Member = (place: Int, edges: [AnswerTree.Edge])

    /// Decodes a tree and writes the sums of the log-probabilities of its candidates' tokens behind `[CLS]`.
    ///
    /// - Parameters:
    ///   - firstLogs: Of the first token of every chosen candidate.
    ///   - totals: `[1, chosen]`.
    private func score(
        _ members: [Member], _ tree: AnswerTree, after start: [KeysValues], _ source: [KeysValues],
        _ decoder: AnswerDecoder, _ firstLogs: [Float], to totals: TensorView
    ) {
        let mark = arena.mark()
        defer { arena.release(to: mark) }
        var logs: [Float] = []
        if tree.rows > 0 {
            let ids = place(tree.ids, Shape(tree.rows))
            let states = work.reserve(Shape(tree.rows, decoder.width))
            decoder.decode(ids, branches: tree.branches, after: start, question: source, to: states, in: work)
            for first in stride(from: 0, to: tree.rows, by: ForwardPass.logitRows) {
                let rows = first..<min(first + ForwardPass.logitRows, tree.rows)
                arena.scoped {
                    let logits = work.reserve(Shape(rows.count, decoder.vocabulary))
                    decoder.logits(states.rows(rows), to: logits, in: work)
                    logs += logProbabilities(logits, Array(tree.targets[rows]))
                }
            }
        }
        var starts: [Int] = []
        var count = 0
        for targets in tree.targets {
            starts.append(count)
            count += targets.count
        }
        for member in members {
            let all = [firstLogs[member.place]] + member.edges.map { logs[starts[$0.row] + $0.place] }
            arena.scoped {
                let view = place(all, Shape(all.count))
                let total = totals.reshaped(Shape(totals.columns)).elements(member.place..<member.place + 1)
                work.kernels.sum(view, to: total, in: arena)
            }
        }
    }

    /// The log-probabilities of some tokens by each row of logits, one row after another.
    private func logProbabilities(_ logits: TensorView, _ targets: [[Int32]]) -> [Float] {
        var ends: [Int32] = []
        for row in targets { ends.append((ends.last ?? 0) + Int32(row.count)) }
        let flat = targets.flatMap(\.self)
        return arena.scoped {
            // Room for the most that can be asked for, so that the plan holds for every tree.
            let all = 0..<flat.count
            let ids = arena.reserve(Shape(ForwardPass.logitTargets), .int32).elements(all)
            let logs = work.reserve(Shape(ForwardPass.logitTargets)).elements(all)
            arena.write(flat.span, to: ids)
            work.kernels.logSoftmaxGather(logits, ids: ids, ends: place(ends, Shape(ends.count)), to: logs, in: arena)
            return arena.read(logs)
        }
    }

    private func observe(_ answers: [Answer]) {
        guard work.observer != nil else { return }
        arena.scoped {
            work.observe("vqa_answer_ids", place(answers.map { Int32($0.index) }, Shape(answers.count)))
            work.observe("vqa_answer_scores", place(answers.map(\.score), Shape(answers.count)))
        }
    }
}
