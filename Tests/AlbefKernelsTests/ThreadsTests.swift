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

@Suite("The team of threads")
struct ThreadsTests {
    @Test("every part is visited once, from a multiple of the grain on, by one call of a worker at a time", arguments: [1, 2, 3, 5, 16])
    func everyPartOnce(threads: Int) {
        for grain in [0, 1, 3, 7, 64] {
            for count in [0, 1, 2, 3, 5, 6, 16, 17, 31, 32, 33, 100, 255, 1000] {
                let visits = run(count: count, grain: grain, threads: threads)
                let wrong = visits.parts.withLock { $0.firstIndex { $0 != 1 } }
                #expect(wrong == nil, "part \(wrong ?? -1) of \(count), grain \(grain)")
                #expect(visits.faults.withLock { $0 }.isEmpty, "\(count) parts, grain \(grain)")
            }
        }
    }
}
