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

    func answer(
        _ image: EncodedImage, _ question: [Float], _ candidates: AnswerList, _ decoder: AnswerDecoder
    ) throws(AlbefError) -> [Answer] {
        let mark = arena.mark()
        defer { arena.release(to: mark) }
        let (states, sequences) = placeTexts([question])
        fuse(states, sequences, [image])
        try checkFinite(states, "fusion_tokens")
        let keysValues = decoder.keysValues(states, in: work)

        let chosen = try shortlist(candidates, keysValues, decoder)
        let firsts = work.reserve(Shape(1, chosen.count))
        let totals = work.reserve(Shape(1, chosen.count))
        var firstLogs: [Float] = []
        // Row t of a sequence predicts token t + 1, so the last token is never fed.
        for batch in batches(chosen.map { candidates.ids[$0].count - 1 }) {
            let texts = chosen[batch].map { candidates.ids[$0] }
            firstLogs += likelihoods(
                texts, keysValues, decoder, to: totals.reshaped(Shape(chosen.count)).elements(batch))
        }
        arena.write(firstLogs.span, to: firsts)
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

    /// The candidates whose first token is most probable after `[CLS]`, in ascending order of index.
    private func shortlist(_ candidates: AnswerList, _ keysValues: [KeysValues], _ decoder: AnswerDecoder)
        throws(AlbefError) -> [Int]
    {
        let mark = arena.mark()
        defer { arena.release(to: mark) }
        let start = place(candidates.ids[0].prefix(1).map { $0 }, Shape(1))
        let state = work.reserve(Shape(1, decoder.width))
        decoder.decode(start, sequences: [0..<1], question: keysValues, to: state, in: work)
        let logits = work.reserve(Shape(1, decoder.vocabulary))
        decoder.logits(state, to: logits, in: work)
        try checkFinite(logits, "vqa_first_logits")
        work.observe("vqa_first_logits", logits.reshaped(Shape(decoder.vocabulary)))
        let probabilities = work.reserve(logits.shape)
        work.kernels.softmax(logits, to: probabilities, in: arena)
        let first: [Float] = arena.read(probabilities)
        let order = candidates.ids.indices.sorted {
            let (a, b) = (first[Int(candidates.ids[$0][1])], first[Int(candidates.ids[$1][1])])
            return a > b || (a == b && $0 < $1)
        }
        return order.prefix(Session.scoredAnswers).sorted()
    }

    /// Decodes some candidates together. Writes the sum of the log-probabilities of each one's tokens behind `[CLS]` into
    /// `totals` and returns that of its first token.
    private func likelihoods(
        _ texts: [[Int32]], _ keysValues: [KeysValues], _ decoder: AnswerDecoder, to totals: TensorView
    ) -> [Float] {
        let mark = arena.mark()
        defer { arena.release(to: mark) }
        let sequences = Sequences(texts.map { $0.count - 1 })
        let ids = place(texts.flatMap { $0.dropLast() }, Shape(sequences.rows))
        let targets = place(texts.flatMap { $0.dropFirst() }, Shape(sequences.rows))
        let logs = work.reserve(Shape(sequences.rows))
        let states = work.reserve(Shape(sequences.rows, decoder.width))
        decoder.decode(ids, sequences: sequences.ranges, question: keysValues, to: states, in: work)
        for start in stride(from: 0, to: sequences.rows, by: ForwardPass.logitRows) {
            let rows = start..<min(start + ForwardPass.logitRows, sequences.rows)
            arena.scoped {
                let logits = work.reserve(Shape(rows.count, decoder.vocabulary))
                decoder.logits(states.rows(rows), to: logits, in: work)
                work.kernels.logSoftmaxGather(
                    logits, ids: targets.elements(rows), to: logs.elements(rows), in: arena)
            }
        }
        for (index, rows) in sequences.ranges.enumerated() {
            work.kernels.sum(logs.elements(rows), to: totals.elements(index..<index + 1), in: arena)
        }
        return sequences.ranges.map { arena.element($0.lowerBound, of: logs) }
    }

    private func observe(_ answers: [Answer]) {
        guard work.observer != nil else { return }
        arena.scoped {
            work.observe("vqa_answer_ids", place(answers.map { Int32($0.index) }, Shape(answers.count)))
            work.observe("vqa_answer_scores", place(answers.map(\.score), Shape(answers.count)))
        }
    }
}
