import AlbefTestSupport
import Foundation
import Testing

@Suite("A session as a process")
struct ProcessTests {
    private let probe: BuiltCommand

    init() throws { probe = try BuiltCommand("session-probe") }

    @Test("no thread asks for memory between the input and the output tensors of a warm session")
    func allocations() throws {
        let result = try probe.run(["allocations"])
        #expect(result.code == 0, "\(result.error)")
        let rows = result.rows
        // The counter counts: seven functions on one thread, and one of them on another.
        #expect(rows.count > 50 && rows[0] == ["control", "8"])
        for row in rows.dropFirst() {
            #expect(Int(row[1]) ?? 0 > 0, "\(row[0]): no pass was seen")
            #expect(row[2] == "0", "\(row[0]): \(row[2]) calls for memory; see session-probe allocations --report")
        }
    }

    @Test("an idle process uses no processor time")
    func idle() throws {
        let result = try probe.run(["idle"])
        let milliseconds = try #require(Double(result.output.trimmingCharacters(in: .whitespacesAndNewlines)))
        // A single spinning thread would use 200.
        #expect(result.code == 0 && milliseconds < 10, "\(milliseconds) of 200 ms")
    }

    @Test("threads that stand by for work that does not come go to sleep")
    func standby() throws {
        let result = try probe.run(["standby"])
        let milliseconds = try #require(Double(result.output.trimmingCharacters(in: .whitespacesAndNewlines)))
        // Three spinning threads would use 600 on as many processors, and all of 200 on one.
        #expect(result.code == 0 && milliseconds < 40, "\(milliseconds) of 200 ms")
    }

    /// What may make OpenMP give fewer threads than are asked for, or bind them elsewhere.
    static let environments: [[String: String]] = [
        ["OMP_THREAD_LIMIT": "1"], ["OMP_THREAD_LIMIT": "2"], ["OMP_DYNAMIC": "true"], ["OMP_NUM_THREADS": "1"],
        ["OMP_PROC_BIND": "true"], ["KMP_AFFINITY": "disabled"], ["OMP_MAX_ACTIVE_LEVELS": "0"],
    ]

    @Test("results have the same bytes when the thread team is smaller than asked for", arguments: environments)
    func fewerThreads(environment: [String: String]) throws {
        let alone = try probe.run(["bytes", "1"])
        let limited = try probe.run(["bytes", "4"], environment: environment)
        #expect(alone.code == 0 && limited.code == 0, "\(limited.error)")
        #expect(alone.rows.count > 50)
        #expect(limited.output == alone.output)
    }

    @Test("a process on one processor uses one thread, and gives the same bytes with more")
    func oneProcessor() throws {
        let first = try #require(try allowedProcessors().first)
        let threads = try probe.run(["threads"], processors: "\(first)")
        #expect(threads.output == "1\n", "\(threads.error)")
        let many = try probe.run(["bytes", "4"], processors: "\(first)"), alone = try probe.run(["bytes", "1"])
        #expect(many.code == 0 && many.output == alone.output)
    }

    /// The processors that this process may run on.
    private func allowedProcessors() throws -> [Int] {
        let status = try String(contentsOfFile: "/proc/self/status", encoding: .utf8)
        let line = try #require(status.split(separator: "\n").first { $0.hasPrefix("Cpus_allowed_list:") })
        return line.dropFirst("Cpus_allowed_list:".count).split { !$0.isNumber }.compactMap { Int($0) }
    }
}
