import Albef
import AlbefFiles
import AlbefKernels
import AlbefModelFile
import AlbefTestSupport
import CAllocationCounter
import Foundation

/// What can be measured of sessions only in a process of their own: the calls for memory of a warm pass on all threads, the
/// processor's time of an idle process, and bytes under an environment that the thread team reads when it is loaded.
///
///     session-probe allocations [--report] [MODEL…]    a line for each model, number of threads and task
///     session-probe idle                               processor time in a fifth of a second after a pass, in milliseconds
///     session-probe standby                            the same while threads stand by for work that does not come
///     session-probe bytes THREADS                      a digest of the results of every task
///     session-probe threads                            how many threads a process uses when nobody says
@main
enum SessionProbe {
    static func main() throws {
        var arguments = CommandLine.arguments.dropFirst()
        switch arguments.popFirst() {
        case "allocations":
            let reports = arguments.first == "--report"
            if reports { arguments = arguments.dropFirst() }
            try allocations(models: Array(arguments), reports: reports)
        case "idle": try idle()
        case "standby": try standby()
        case "threads": print(ThreadBudget.available())
        case "bytes": try bytes(threads: arguments.first.flatMap { Int($0) } ?? 1)
        default: throw CocoaError(.featureUnsupported)
        }
    }

    /// Small models of every head and both precisions.
    private static func tinyModels() -> [(name: String, model: TinyModel)] {
        Precision.allCases.flatMap { precision in
            [("pretrain", TinyModel()), ("entailment", .classifying(3)), ("reasoning", .classifying(2))].map { name, model in
                var model = model
                model.precision = precision
                return ("\(name) \(precision.rawValue)", model)
            }
        }
    }

    private static func withModels(_ paths: [String], _ body: (String, Model) throws -> Void) throws {
        for path in paths { try body(path, Model(path: path)) }
        if !paths.isEmpty { return }
        for (name, tiny) in tinyModels() { try tiny.withFile { try body(name, Model(path: $0)) } }
    }

    private static func allocations(models: [String], reports: Bool) throws {
        // A counter that counts nothing would pass every test.
        print("control\t\(allocation_counter_control())")
        try withModels(models) { name, model in
            for threads in [1, 3] {
                let session = try Session(model: model, kernels: Kernels(threads: threads))
                for task in try Task.all(session) {
                    if reports { StandardStreams.reportLine("== \(name), \(threads) threads, \(task.name)") }
                    let count = try AllocationCount.ofWarm(task, session, reports: reports)
                    print("\(name), \(threads) threads, \(task.name)\t\(count.passes)\t\(count.calls)")
                }
            }
        }
    }

    private static func idle() throws {
        try TinyModel().withFile { path in
            let session = try Session(model: Model(path: path), kernels: Kernels(threads: 4))
            for task in try Task.all(session) { try task.run(session) }
            // The team may spin for a millisecond after its last region.
            usleep(20_000)
            let before = processorMilliseconds()
            usleep(200_000)
            print(processorMilliseconds() - before)
        }
    }

    private static func standby() throws {
        let kernels = try Kernels(threads: 4)
        kernels.withTeam {
            let before = processorMilliseconds()
            usleep(200_000)
            print(processorMilliseconds() - before)
        }
    }

    /// Processor time of all threads of this process.
    private static func processorMilliseconds() -> Double {
        var time = timespec()
        _ = unsafe clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
        return Double(time.tv_sec) * 1e3 + Double(time.tv_nsec) / 1e6
    }

    private static func bytes(threads: Int) throws {
        try withModels([]) { name, model in
            let session = try Session(model: model, kernels: Kernels(threads: threads))
            let size = model.configuration.imageSize
            var numbers = RandomNumbers(seed: 5)
            let picture = try PreparedImage(
                pixels: (0..<3 * size * size).map { _ in UInt8(truncatingIfNeeded: numbers.bits()) }, for: model)
            var requests = [Session.TraceRequest(image: picture, caption: try model.prepare("a red dog", for: .caption))]
            if model.heads.contains(.answering) {
                let question = try model.prepare("what color is the dog?", for: .question)
                requests.append(Session.TraceRequest(image: picture, question: question))
            }
            if model.heads.contains(.reasoning) { requests[0].right = picture }
            for request in requests {
                for tensor in try session.trace(request).tensors { print("\(name)\t\(tensor.name)\t\(tensor.digest)") }
            }
        }
    }
}
