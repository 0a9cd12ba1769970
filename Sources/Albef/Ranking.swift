import AlbefTensor

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

    /// The candidates that the form without an arena gives, in ascending order of index.
    static func best(_ count: Int, of candidates: Int, in arena: Arena, by score: (Int) -> Float) -> ArenaList<Int> {
        var scores: ArenaList<Float> = arena.list(capacity: candidates)
        // The best scores so far; the least of them stands first, and the one at i before those at 2i + 1 and 2i + 2.
        var heap: ArenaList<Float> = arena.list(capacity: count)
        for index in 0..<candidates {
            let own = score(index)
            scores.append(own)
            if heap.count < count {
                heap.append(own)
                heap.raiseLast()
            } else if count > 0, own > heap[0] {
                heap[0] = own
                heap.lowerFirst()
            }
        }
        var result: ArenaList<Int> = arena.list(capacity: count)
        if heap.isEmpty { return result }
        // Of scores that equal the least one the first few are in.
        let least = heap[0]
        var equal = 0
        for place in 0..<heap.count where heap[place] == least { equal += 1 }
        for index in 0..<candidates where scores[index] >= least {
            if scores[index] == least {
                if equal == 0 { continue }
                equal -= 1
            }
            result.append(index)
        }
        return result
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

extension ArenaList where Element == Float {
    /// Brings the last element to its place in a heap whose least element stands first.
    fileprivate func raiseLast() {
        let own = self[count - 1]
        var place = count - 1
        while place > 0, self[(place - 1) / 2] > own {
            self[place] = self[(place - 1) / 2]
            place = (place - 1) / 2
        }
        self[place] = own
    }

    /// Brings the first element to its place in such a heap.
    fileprivate func lowerFirst() {
        let own = self[0]
        var place = 0
        while 2 * place + 1 < count {
            var next = 2 * place + 1
            if next + 1 < count, self[next + 1] < self[next] { next += 1 }
            if self[next] >= own { break }
            self[place] = self[next]
            place = next
        }
        self[place] = own
    }
}

extension ArenaList where Element == Int {
    /// Sorts a short list by an ascending key; elements of equal keys keep their order.
    func sort(by key: (Int) -> Int) {
        for sorted in 1..<Swift.max(1, count) {
            let element = self[sorted], own = key(element)
            var place = sorted
            while place > 0, key(self[place - 1]) > own {
                self[place] = self[place - 1]
                place -= 1
            }
            self[place] = element
        }
    }
}
