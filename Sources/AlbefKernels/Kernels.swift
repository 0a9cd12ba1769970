import AlbefTensor
import CAlbefKernels

/// The safe face of the C kernels: which instruction set and how many threads to use, and one method an operation (in
/// extensions, a file a topic).
///
/// Every method checks shapes and types by precondition (a wrong shape here is a fault of ours: input was checked long
/// before), does nothing when the arena is planning, and gives the same bytes for every `isa` and `threads`.
public struct Kernels: Sendable {
    /// The ceiling for variants.
    public let isa: ISA
    /// How many threads an operation may use, at least 1.
    public let threads: Int

    /// - Throws: ``KernelError/unsupportedISA(_:)`` if this build or CPU does not run `isa`.
    public init(isa: ISA = .best, threads: Int) throws(KernelError) {
        guard isa.isSupported else { throw .unsupportedISA(isa.rawValue) }
        precondition(threads >= 1 && threads <= Kernels.maximumThreads)
        self.isa = isa
        self.threads = threads
        alb_set_team_size(Int32(threads))
    }

    /// The most threads that can be asked for.
    public static let maximumThreads = 1024

    /// How many processors this process may run on by its affinity mask; at least 1.
    public static var availableProcessors: Int { Int(alb_available_processors()) }

    /// Runs `body`, of many operations one after another, while the threads stand by: an operation then hands them its work
    /// within a fraction of a microsecond. Results are the same without it.
    public func withTeam<Result, Failure: Error>(_ body: () throws(Failure) -> Result) throws(Failure) -> Result {
        var result: Swift.Result<Result, Failure>?
        func run() {
            do throws(Failure) { result = .success(try body()) } catch { result = .failure(error) }
        }
        withoutActuallyEscaping(run) { run in
            var run = run
            unsafe withUnsafeMutablePointer(to: &run) { context in
                unsafe alb_with_team(
                    threadCount, { unsafe $0?.assumingMemoryBound(to: (() -> Void).self).pointee() }, context)
            }
        }
        guard let result else { preconditionFailure("the team did not run the body") }
        return try result.get()
    }

    var threadCount: Int32 { Int32(threads) }
}

/// Why kernels cannot be used as asked.
public enum KernelError: Error, CustomStringConvertible, Equatable {
    /// The name of an instruction set that is unknown or that this CPU does not run.
    case unsupportedISA(String)
    /// The stage of a forward pass whose result holds an infinity or a NaN.
    case nonFinite(stage: String)

    public var description: String {
        switch self {
        case .unsupportedISA(let name):
            "instruction set '\(name)' is not available here; available: "
                + ISA.supported.map(\.rawValue).joined(separator: ", ")
        case .nonFinite(let stage):
            "stage '\(stage)' gave a value that is not finite; the model file or its checkpoint is damaged"
        }
    }
}
