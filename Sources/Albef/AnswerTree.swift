import AlbefLayers
import AlbefTensor

/// The distinct beginnings of several candidates: each is decoded once for all candidates that share it.
///
/// A row stands for one beginning behind `[CLS]`, and predicts the tokens that may follow it. `[CLS]` itself, which all
/// share, is no row; nor is a whole candidate, behind whose `[SEP]` nothing is predicted.
struct AnswerTree {
    /// The last token of each row, in depth-first order.
    private(set) var ids: ArenaList<Int32>
    /// Together all rows.
    private(set) var branches: Branches
    /// Which token's probability is asked of which row: each pair once, in the order in which candidates asked for it.
    private(set) var targets: ArenaList<Target>
    /// What the candidates ask for, one candidate after another: places in ``targets``.
    private(set) var asked: ArenaList<Int>
    /// The last target of each row.
    private var latest: ArenaList<Int>
    /// The rows of the candidate that was added last, and their tokens.
    private var path: ArenaList<Int>

    /// A token that may follow a row.
    struct Target: Equatable, BitwiseCopyable {
        let row: Int
        let token: Int32
    }

    /// - Parameters:
    ///   - rows: At most.
    ///   - candidates: At most.
    ///   - longest: Tokens of the longest candidate.
    init(rows: Int, candidates: Int, longest: Int, in arena: Arena) {
        ids = arena.list(capacity: rows)
        branches = Branches(capacity: min(rows, candidates), longest: longest, after: 1, in: arena)
        targets = arena.list(capacity: candidates * longest)
        asked = arena.list(capacity: candidates * longest)
        latest = arena.list(capacity: rows)
        path = arena.list(capacity: longest)
    }

    /// Beginnings so far.
    var rows: Int { ids.count }

    /// How many rows a candidate would add.
    func growth(_ candidate: [Int32]) -> Int { candidate.count - 2 - shared(candidate) }

    /// Adds a candidate: `[CLS]`, its pieces, `[SEP]`. Candidates must come in lexicographic order of their tokens.
    ///
    /// - Returns: What the rows predict of it, its tokens behind the first piece: where they stand in ``asked``.
    mutating func add(_ candidate: [Int32]) -> Range<Int> {
        let shared = shared(candidate), start = rows, end = candidate.count - 1
        path.removeLast(path.count - shared)
        for place in 1 + shared..<max(1 + shared, end) {
            path.append(rows)
            ids.append(candidate[place])
            latest.append(-1)
        }
        if rows > start { branches.append(start..<rows, ancestors: path, depth: shared) }
        let first = asked.count
        for place in 0..<path.count {
            let target = Target(row: path[place], token: candidate[place + 2])
            if latest[target.row] < 0 || targets[latest[target.row]] != target {
                latest[target.row] = targets.count
                targets.append(target)
            }
            asked.append(latest[target.row])
        }
        return first..<asked.count
    }

    /// How many of the last candidate's rows are beginnings of this one.
    private func shared(_ candidate: [Int32]) -> Int {
        let most = min(path.count, candidate.count - 2)
        var count = 0
        while count < most, ids[path[count]] == candidate[count + 1] { count += 1 }
        return count
    }
}
