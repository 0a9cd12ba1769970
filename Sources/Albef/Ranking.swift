/// Candidates ranked by score: the higher score first, of equal scores the lower index. (The official code reverses an
/// ascending sort whose order of equal scores is unspecified.)
enum Ranking {
    /// The first `count` candidates of the ranking, best first; all of them if there are no more. Memory and time grow with
    /// `count`, so that a short list out of many candidates is cheap.
    ///
    /// - Parameter score: Of each candidate, `0..<candidates`.
    static func best(_ count: Int, of candidates: Int, by score: (Int) -> Float) -> [Int] {
        guard count > 0 else { return [] }
        if count >= candidates {
            let scores = (0..<candidates).map(score)
            return scores.indices.sorted { (scores[$0], $1) > (scores[$1], $0) }
        }
        var best: [(score: Float, index: Int)] = []
        for index in 0..<candidates {
            let own = score(index)
            // Of equal scores the earlier one is in the list already.
            if best.count == count, own <= best[count - 1].score { continue }
            var low = 0, high = best.count
            while low < high {
                let middle = (low + high) / 2
                if best[middle].score < own { high = middle } else { low = middle + 1 }
            }
            if best.count == count { best.removeLast() }
            best.insert((own, index), at: low)
        }
        return best.map(\.index)
    }

    /// The rank, from 0, of the best of some candidates among all; the number of candidates if `own` is empty.
    static func rank(of own: Range<Int>, in scores: some RandomAccessCollection<Float>) -> Int {
        let first = scores.startIndex
        let value = { (index: Int) in scores[scores.index(first, offsetBy: index)] }
        guard let best = own.max(by: { (value($0), $1) < (value($1), $0) }) else { return scores.count }
        let score = value(best)
        return (0..<scores.count).count { (value($0), best) > (score, $0) }
    }
}
