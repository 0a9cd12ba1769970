import Albef
import AlbefKernels
import AlbefLayers
import AlbefTestSupport
import CAllocationCounter

/// Counts the calls for memory between the input tensors and the output tensors of a session's passes.
final class AllocationCount: ComputationObserver {
    /// Passes that were seen.
    private(set) var passes = 0
    /// Calls in all of them.
    private(set) var calls = 0
    /// Whether to say where calls came from.
    private let reports: Bool

    init(reports: Bool) { self.reports = reports }

    func computationBegins() { allocation_counter_begin() }

    func computationEnds() {
        let found = allocation_counter_end()
        passes += 1
        calls += found
        if found > 0 && reports { allocation_counter_report() }
    }

    /// What a task's second run on a session allocates: shapes are those of the first.
    static func ofWarm(_ task: Task, _ session: Session, reports: Bool) throws -> AllocationCount {
        try task.run(session)
        let count = AllocationCount(reports: reports)
        session.computationObserver = count
        defer { session.computationObserver = nil }
        try task.run(session)
        return count
    }
}
