import AlbefLayers

/// The distinct beginnings of several candidates: each is decoded once for all candidates that share it.
///
/// A row stands for one beginning behind `[CLS]`, and predicts the tokens that may follow it. `[CLS]` itself, which all
/// share, is no row; nor is a whole candidate, behind whose `[SEP]` nothing is predicted.
struct AnswerTree {
    /// The last token of each row, in depth-first order.
    private(set) var ids: [Int32] = []
    /// Together all rows.
    private(set) var branches: [Branch] = []
    /// For each row the tokens whose probability is asked for, each once, ascending.
    private(set) var targets: [[Int32]] = []
    /// The rows of the candidate that was added last, and their tokens.
    private var path: [Int] = []

    /// A token that follows a row: the place in ``targets``.
    struct Edge: Equatable {
        let row: Int
        let place: Int
    }

    /// Beginnings so far.
    var rows: Int { ids.count }

    /// How many rows a candidate would add.
    func growth(_ candidate: [Int32]) -> Int { candidate.count - 2 - shared(candidate) }

    /// Adds a candidate: `[CLS]`, its pieces, `[SEP]`. Candidates must come in lexicographic order of their tokens.
    ///
    /// - Returns: What the rows predict of it: its tokens behind the first piece.
    mutating func add(_ candidate: [Int32]) -> [Edge] {
        let shared = shared(candidate)
        let start = rows
        path.removeLast(path.count - shared)
        let ancestors = runs(path)
        for token in candidate[(1 + shared)..<(candidate.count - 1)] {
            path.append(rows)
            ids.append(token)
            targets.append([])
        }
        if rows > start { branches.append(Branch(ancestors: ancestors, rows: start..<rows)) }
        return zip(path, candidate.dropFirst(2)).map { row, token in
            if targets[row].last != token { targets[row].append(token) }
            return Edge(row: row, place: targets[row].count - 1)
        }
    }

    /// How many of the last candidate's rows are beginnings of this one.
    private func shared(_ candidate: [Int32]) -> Int {
        zip(path, candidate[1..<(candidate.count - 1)]).prefix { ids[$0] == $1 }.count
    }

    /// Ascending rows as ranges.
    private func runs(_ rows: [Int]) -> [Range<Int>] {
        var result: [Range<Int>] = []
        for row in rows {
            if let last = result.last, last.upperBound == row {
                result[result.count - 1] = last.lowerBound..<row + 1
            } else {
                result.append(row..<row + 1)
            }
        }
        return result
    }
}
