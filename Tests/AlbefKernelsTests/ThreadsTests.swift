import CAlbefKernels
import Synchronization
import Testing

/// What the calls of one loop did.
private final class Visits: Sendable {
    let parts: Mutex<[Int]>
    /// Of each worker, whether a call of it runs.
    let busy: Mutex<Set<Int32>>
    let faults = Mutex<[String]>([])
    let grain: Int
    let threads: Int

    init(count: Int, grain: Int, threads: Int) {
        parts = Mutex(Array(repeating: 0, count: count))
        busy = Mutex([])
        (self.grain, self.threads) = (grain, threads)
    }

    func visit(_ begin: Int, _ end: Int, _ worker: Int32) {
        let entered = busy.withLock { $0.insert(worker).inserted }
        if !entered { faults.withLock { $0.append("two calls of worker \(worker) at one time") } }
        if worker < 0 || worker >= threads { faults.withLock { $0.append("worker \(worker)") } }
        if begin >= end || begin % grain != 0 { faults.withLock { $0.append("parts \(begin) to \(end)") } }
        // The first worker is slow, so that the others take of its share.
        if worker == 0 { for _ in 0..<200 { busy.withLock { _ in } } }
        parts.withLock { parts in
            for part in begin..<min(end, parts.count) { parts[part] += 1 }
            if end > parts.count { faults.withLock { $0.append("parts up to \(end)") } }
        }
        _ = busy.withLock { $0.remove(worker) }
    }
}

private func run(count: Int, grain: Int, threads: Int) -> Visits {
    let visits = Visits(count: count, grain: max(1, grain), threads: threads)
    alb_parallel_for(
        Int32(threads), count, grain,
        { context, begin, end, worker in
            guard let context else { return }
            Unmanaged<Visits>.fromOpaque(context).takeUnretainedValue().visit(begin, end, worker)
        }, Unmanaged.passUnretained(visits).toOpaque())
    return visits
}

/// Runs `body` while a team stands by.
private func withTeam(_ threads: Int, _ body: @escaping () -> Void) {
    var body = body
    withUnsafeMutablePointer(to: &body) { context in
        alb_with_team(Int32(threads), { $0?.assumingMemoryBound(to: (() -> Void).self).pointee() }, context)
    }
}

@Suite("The team of threads")
struct ThreadsTests {
    @Test(
        "every part is visited once, from a multiple of the grain on, by one call of a worker at a time", arguments: [1, 2, 3, 5, 16],
        [false, true])
    func everyPartOnce(threads: Int, standingBy: Bool) {
        func check() {
            for grain in [0, 1, 3, 7, 64] {
                for count in [0, 1, 2, 3, 5, 6, 16, 17, 31, 32, 33, 100, 255, 1000] {
                    let visits = run(count: count, grain: grain, threads: threads)
                    let wrong = visits.parts.withLock { $0.firstIndex { $0 != 1 } }
                    #expect(wrong == nil, "part \(wrong ?? -1) of \(count), grain \(grain)")
                    #expect(visits.faults.withLock { $0 }.isEmpty, "\(count) parts, grain \(grain)")
                }
            }
        }
        if standingBy { withTeam(threads, check) } else { check() }
    }

    @Test("a loop may ask for fewer threads or more than the team that stands by has", arguments: [2, 4])
    func otherThreadsThanTheTeam(team: Int) {
        withTeam(team) {
            for threads in 1...6 {
                let visits = run(count: 100, grain: 1, threads: threads)
                #expect(visits.parts.withLock { $0.allSatisfy { $0 == 1 } } && visits.faults.withLock { $0 }.isEmpty)
            }
        }
    }

    @Test("a team within a team is the outer one, and the outer one goes on after it")
    func nested() {
        let calls = Mutex(0)
        withTeam(3) {
            withTeam(2) {
                calls.withLock { $0 += 1 }
                #expect(run(count: 100, grain: 1, threads: 2).parts.withLock { $0.allSatisfy { $0 == 1 } })
            }
            #expect(run(count: 100, grain: 1, threads: 3).parts.withLock { $0.allSatisfy { $0 == 1 } })
        }
        #expect(calls.withLock { $0 } == 1)
    }

    @Test("many short loops one after another all see what the one before wrote")
    func chain() {
        final class Values: Sendable {
            let now = Mutex<[Int]>(Array(repeating: 0, count: 64))
        }
        let values = Values()
        withTeam(4) {
            for _ in 0..<5000 {
                alb_parallel_for(
                    4, 64, 1,
                    { context, begin, end, _ in
                        guard let context else { return }
                        let values = Unmanaged<Values>.fromOpaque(context).takeUnretainedValue()
                        values.now.withLock { for part in begin..<end { $0[part] += 1 } }
                    }, Unmanaged.passUnretained(values).toOpaque())
            }
        }
        #expect(values.now.withLock { $0.allSatisfy { $0 == 5000 } })
    }

    @Test("callers on several threads have teams of their own")
    func severalCallers() async {
        await withTaskGroup(of: Bool.self) { group in
            for caller in 0..<4 {
                group.addTask {
                    let right = Mutex(true)
                    withTeam(2 + caller % 2) {
                        for count in [1, 10, 100, 1000] {
                            let visits = run(count: count, grain: 1, threads: 3)
                            if !visits.parts.withLock({ $0.allSatisfy { $0 == 1 } }) { right.withLock { $0 = false } }
                        }
                    }
                    return right.withLock { $0 }
                }
            }
            for await right in group { #expect(right) }
        }
    }
}
