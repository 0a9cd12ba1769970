import Foundation

/// A command that was built beside the running tests.
public struct BuiltCommand: Sendable {
    private let path: String

    /// What a run left.
    public struct Result: Sendable {
        public let code: Int32
        public let output: String
        public let error: String

        /// The lines of the output, each split at its tabs.
        public var rows: [[String]] {
            output.split(separator: "\n").map { $0.split(separator: "\t", omittingEmptySubsequences: false).map(String.init) }
        }
    }

    public init(_ name: String) throws {
        var tests = URL(filePath: try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe"))
        if !tests.path.contains("/.build") { tests = URL(filePath: CommandLine.arguments[0]) }
        path = tests.deletingLastPathComponent().appending(path: name).path
    }

    /// Runs the command and waits for its end.
    ///
    /// - Parameters:
    ///   - environment: Variables beside those of the tests.
    ///   - processors: The affinity mask, as `taskset` takes it; nil for that of the tests.
    public func run(_ arguments: [String], environment: [String: String] = [:], processors: String? = nil) throws -> Result {
        let process = Process()
        process.executableURL = URL(filePath: processors == nil ? path : "/usr/bin/taskset")
        process.arguments = (processors.map { ["-c", $0, path] } ?? []) + arguments
        process.environment = ProcessInfo.processInfo.environment.merging(environment) { _, new in new }
        let (output, error) = (Pipe(), Pipe())
        process.standardOutput = output
        process.standardError = error
        try process.run()
        // What is written to standard error is short: it does not fill its pipe while the output is read.
        let texts = [output, error].map { String(decoding: $0.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self) }
        process.waitUntilExit()
        return Result(code: process.terminationStatus, output: texts[0], error: texts[1])
    }
}
