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
    static let logitRows = 48
    /// Tokens that so many rows can be asked for: each belongs to a candidate, or to a row behind it.
    private static let logitTargets = logitRows + Session.scoredAnswers

    func answer(
        _ image: EncodedImage, _ question: [Float], _ candidates: AnswerList, _ decoder: AnswerDecoder
    ) throws(AlbefError) -> [Answer] {
        let mark = arena.mark()
        defer { arena.release(to: mark) }
        let (states, sequences) = placeTexts([question])
        let count = min(Session.scoredAnswers, candidates.ids.count)
        let scores = work.reserve(Shape(1, count))
        let probabilities = work.reserve(Shape(1, count))
        var chosen: ArenaList<Int> = arena.list(capacity: count)
        let images = [image]
        try computing { () throws(AlbefError) in
            fuse(states, sequences, images)
            try checkFinite(states, "fusion_tokens")
            try rank(candidates, by: states, decoder, chosen: &chosen, to: scores)
            try checkFinite(scores, "vqa_answer_scores")
            work.kernels.softmax(scores, to: probabilities, in: arena)
        }
        let scoreValues: [Float] = arena.read(scores)
        let probabilityValues: [Float] = arena.read(probabilities)
        let answers = chosen.elements.enumerated().map { place, index in
            Answer(
                answer: candidates.answers[index], index: index, score: scoreValues[place],
                probability: probabilityValues[place])
        }.sorted { ($0.score, $1.index) > ($1.score, $0.index) }
        observe(answers)
        return answers
    }

    /// Chooses candidates and scores them.
    ///
    /// - Parameters:
    ///   - states: The fused question.
    ///   - chosen: Receives the chosen candidates, ascending.
    ///   - scores: `[1, chosen]`.
    private func rank(
        _ candidates: AnswerList, by states: TensorView, _ decoder: AnswerDecoder, chosen: inout ArenaList<Int>,
        to scores: TensorView
    ) throws(AlbefError) {
        let source = decoder.keysValues(states, in: work)
        let start = decoder.reserveKeysValues(rows: 1, in: work)
        let firsts = work.reserve(scores.shape)
        let totals = work.reserve(scores.shape)
        try shortlist(candidates, source, decoder, keeping: start, chosen: &chosen, logs: firsts)
        // Candidates that begin alike come one behind the other.
        var order: ArenaList<Int> = arena.list(capacity: chosen.count)
        var longest = 0
        for place in 0..<chosen.count {
            order.append(place)
            longest = max(longest, candidates.ids[chosen[place]].count)
        }
        order.sort { candidates.ranks[chosen[$0]] }
        var next = 0
        while next < order.count {
            arena.scoped {
                var tree = AnswerTree(rows: rowLimit, candidates: order.count - next, longest: longest, in: arena)
                var members: ArenaList<Member> = arena.list(capacity: order.count - next)
                while next < order.count {
                    let ids = candidates.ids[chosen[order[next]]]
                    if tree.rows > 0, tree.rows + tree.growth(ids) > rowLimit { break }
                    let asked = tree.add(ids)
                    members.append(Member(place: order[next], first: asked.lowerBound, past: asked.upperBound))
                    next += 1
                }
                score(members, tree, after: start, source, decoder, firsts, to: totals)
            }
        }
        work.kernels.add(firsts, totals, to: scores, in: arena)
    }

    /// The candidates whose first token is most probable after `[CLS]`, in ascending order of index, and the logarithms of
    /// those probabilities.
    ///
    /// - Parameters:
    ///   - start: Receives what later tokens need of `[CLS]`.
    ///   - chosen: Receives the candidates.
    ///   - logs: `[1, chosen]`.
    private func shortlist(
        _ candidates: AnswerList, _ source: ArenaList<KeysValues>, _ decoder: AnswerDecoder,
        keeping start: ArenaList<KeysValues>, chosen: inout ArenaList<Int>, logs: TensorView
    ) throws(AlbefError) {
        let mark = arena.mark()
        defer { arena.release(to: mark) }
        let token = arena.reserve(Shape(1), .int32)
        arena.set(0, of: token, to: candidates.ids[0][0])
        let state = work.reserve(Shape(1, decoder.width))
        var root = Branches(capacity: 1, longest: 1, in: arena)
        root.append(0..<1)
        decoder.decode(token, branches: root, keeping: start, question: source, to: state, in: work)
        let logits = work.reserve(Shape(1, decoder.vocabulary))
        decoder.logits(state, to: logits, in: work)
        try checkFinite(logits, "vqa_first_logits")
        work.observe("vqa_first_logits", logits.reshaped(Shape(decoder.vocabulary)))
        let probabilities = work.reserve(logits.shape)
        work.kernels.softmax(logits, to: probabilities, in: arena)
        let best = Ranking.best(chosen.capacity, of: candidates.ids.count, in: arena) {
            arena.element(Int(candidates.ids[$0][1]), of: probabilities)
        }
        for place in 0..<best.count { chosen.append(best[place]) }
        let ids = arena.reserve(Shape(chosen.count), .int32)
        for place in 0..<chosen.count { arena.set(place, of: ids, to: candidates.ids[chosen[place]][1]) }
        let ends = arena.reserve(Shape(1), .int32)
        arena.set(0, of: ends, to: Int32(chosen.count))
        work.kernels.logSoftmaxGather(logits, ids: ids, ends: ends, to: logs.reshaped(Shape(chosen.count)), in: arena)
    }

    /// A candidate by its place among the chosen ones, and what a tree predicts of it.
    private struct Member: BitwiseCopyable {
        let place: Int
        let first, past: Int
    }

    /// Decodes a tree and writes the sums of the log-probabilities of its candidates' tokens behind `[CLS]`.
    ///
    /// - Parameters:
    ///   - firsts: `[1, chosen]`: the logarithms for the first token of every chosen candidate.
    ///   - totals: `[1, chosen]`.
    private func score(
        _ members: ArenaList<Member>, _ tree: AnswerTree, after start: ArenaList<KeysValues>, _ source: ArenaList<KeysValues>,
        _ decoder: AnswerDecoder, _ firsts: TensorView, to totals: TensorView
    ) {
        // Room for the most that can be asked for, here and below, so that the plan holds for every tree.
        let logs = work.reserve(Shape(rowLimit + Session.scoredAnswers))
        let order = TargetOrder(tree, in: arena)
        if tree.rows > 0 {
            arena.scoped {
                let ids = arena.reserve(Shape(tree.rows), .int32)
                for row in 0..<tree.rows { arena.set(row, of: ids, to: tree.ids[row]) }
                let states = work.reserve(Shape(tree.rows, decoder.width))
                decoder.decode(ids, branches: tree.branches, after: start, question: source, to: states, in: work)
                var first = 0
                while first < tree.rows {
                    let rows = first..<min(first + ForwardPass.logitRows, tree.rows)
                    predict(states.rows(rows), rows, tree, order, decoder, to: logs)
                    first = rows.upperBound
                }
            }
        }
        let all = firsts.reshaped(Shape(firsts.columns)), sums = totals.reshaped(Shape(totals.columns))
        for index in 0..<members.count {
            let member = members[index]
            arena.scoped {
                let view = work.reserve(Shape(1 + member.past - member.first))
                arena.set(0, of: view, to: arena.element(member.place, of: all, as: Float.self))
                for asked in member.first..<member.past {
                    let log = arena.element(order.places[tree.asked[asked]], of: logs, as: Float.self)
                    arena.set(1 + asked - member.first, of: view, to: log)
                }
                work.kernels.sum(view, to: sums.elements(member.place..<member.place + 1), in: arena)
            }
        }
    }

    /// The log-probabilities of the tokens that are asked of some rows of a tree.
    ///
    /// - Parameters:
    ///   - states: Of these rows, `[rows, width]`.
    ///   - logs: Of all rows, one row after another.
    private func predict(
        _ states: TensorView, _ rows: Range<Int>, _ tree: AnswerTree, _ order: TargetOrder, _ decoder: AnswerDecoder,
        to logs: TensorView
    ) {
        arena.scoped {
            let logits = work.reserve(Shape(rows.count, decoder.vocabulary))
            decoder.logits(states, to: logits, in: work)
            let all = order.starts[rows.lowerBound]..<order.starts[rows.upperBound]
            let ids = arena.reserve(Shape(ForwardPass.logitTargets), .int32).elements(0..<all.count)
            let ends = arena.reserve(Shape(rows.count), .int32)
            for place in all {
                arena.set(place - all.lowerBound, of: ids, to: tree.targets[order.targets[place]].token)
            }
            for row in rows { arena.set(row - rows.lowerBound, of: ends, to: Int32(order.starts[row + 1] - all.lowerBound)) }
            work.kernels.logSoftmaxGather(logits, ids: ids, ends: ends, to: logs.elements(all), in: arena)
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

/// The targets of a tree, one row after another.
private struct TargetOrder {
    /// Where the targets of each row begin, and where those of the last end.
    private(set) var starts: ArenaList<Int>
    /// The target at each place.
    let targets: ArenaList<Int>
    /// The place of each target.
    let places: ArenaList<Int>

    init(_ tree: AnswerTree, in arena: Arena) {
        var starts: ArenaList<Int> = arena.list(capacity: tree.rows + 1)
        var next: ArenaList<Int> = arena.list(capacity: tree.rows)
        var targets: ArenaList<Int> = arena.list(capacity: tree.targets.count)
        var places: ArenaList<Int> = arena.list(capacity: tree.targets.count)
        for _ in 0..<tree.rows {
            starts.append(0)
            next.append(0)
        }
        starts.append(0)
        for target in 0..<tree.targets.count {
            starts[tree.targets[target].row + 1] += 1
            targets.append(0)
            places.append(0)
        }
        for row in 0..<tree.rows {
            next[row] = starts[row]
            starts[row + 1] += starts[row]
        }
        for target in 0..<tree.targets.count {
            let row = tree.targets[target].row
            places[target] = next[row]
            targets[next[row]] = target
            next[row] += 1
        }
        (self.starts, self.targets, self.places) = (starts, targets, places)
    }
}
