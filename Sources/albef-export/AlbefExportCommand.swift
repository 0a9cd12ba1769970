import Albef
import AlbefExport
import AlbefFiles
import AlbefKernels
import ArgumentParser

extension ExportOptions.Precision: ExpressibleByArgument {}
extension ExportOptions.Task: ExpressibleByArgument {}

/// Packs a checkpoint of ALBEF into one model file: parses options, calls `AlbefExport`, prints.
@main
struct AlbefExportCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "albef-export",
        abstract: "Packs an ALBEF checkpoint into one .albef model file.",
        discussion: """
            Reads official .pth files (tensors and plain containers only: nothing in a checkpoint is executed) and \
            .safetensors files with the same tensor names. Sizes are taken from the tensors.

            Exit codes: 0 done; 64 usage; 65 bad data (checkpoint, vocabulary, answers, configuration); 66 missing input; \
            70 our fault; 74 cannot read or write.
            """,
        version: exporterVersion)

    @Argument(help: ArgumentHelp("The checkpoint: .pth or .safetensors.", valueName: "checkpoint"))
    var checkpoint: String

    @Option(name: [.customShort("o"), .long], help: ArgumentHelp("The model file to write.", valueName: "file"))
    var output: String

    @Option(
        help: ArgumentHelp(
            "What the model is for, as a label: \(ExportOptions.Task.allCases.map(\.rawValue).joined(separator: ", ")). Default: what its heads are for.",
            valueName: "name"))
    var task: ExportOptions.Task?

    @Option(help: ArgumentHelp("Type of the weights: \(ExportOptions.Precision.allCases.map(\.rawValue).joined(separator: ", ")).", valueName: "name"))
    var precision = ExportOptions.Precision.int8

    @Option(
        help: ArgumentHelp(
            "JSON with configuration keys, for what the tensors do not tell. Goes before the checkpoint's metadata.",
            valueName: "c.json"))
    var config: String?

    @Option(
        help: ArgumentHelp(
            "The WordPiece vocabulary, a token a line. Needed unless the checkpoint's metadata carries it.",
            valueName: "vocab.txt"))
    var vocab: String?

    @Option(
        help: ArgumentHelp(
            "JSON list of the answers of a VQA model. Needed there unless the checkpoint's metadata carries it.",
            valueName: "a.json"))
    var answers: String?

    @Option(
        help: ArgumentHelp(
            "Side of the pictures in pixels, for another resolution than the checkpoint's: position embeddings are interpolated.",
            valueName: "n"))
    var imageSize: Int?

    @Option(
        help: ArgumentHelp(
            "Pictures, with captions or questions in a captions.json where there are some, to choose what is quantised by: "
                + "layers are smoothed where that helps, and matrices stay in float where the results would be off otherwise.",
            valueName: "folder"))
    var calibrate: String?

    @Option(
        name: [.short, .long],
        help: ArgumentHelp(
            "Also write the whole report, with every tensor's type, scales and quantisation error; of a checkpoint that is "
                + "refused for missing tensors, all their names.", valueName: "r.json"))
    var report: String?

    @Option(help: ArgumentHelp("Threads to use (default: what affinity and cgroup quota allow).", valueName: "n"))
    var threads: Int?

    @Flag(help: "Print the whole report as one line of JSON instead of a summary.")
    var json = false

    @Flag(help: "Print nothing.")
    var quiet = false

    func validate() throws {
        if let threads, threads < 1 || threads > Kernels.maximumThreads {
            throw ValidationError("--threads takes 1 to \(Kernels.maximumThreads), found \(threads).")
        }
    }

    func run() throws {
        let done = try export()
        for line in done.calibration?.skipped ?? [] { StandardStreams.reportLine("albef-export: skipped: \(line)") }
        if let report { try writeAtomically(done.json.utf8 + [0x0A], to: report) }
        if json {
            try StandardStreams.writeLine(done.json.text)
        } else if !quiet {
            try StandardStreams.writeLine(done.summary)
        }
    }

    private func export() throws -> ExportReport {
        let options = ExportOptions(
            checkpoint: checkpoint, output: output, precision: precision, task: task, configuration: config,
            vocabulary: vocab, answers: answers, imageSize: imageSize, calibration: calibrate,
            threads: threads ?? ThreadBudget.available())
        let showsProgress = !quiet && !json && StandardStreams.errorIsTerminal
        defer { if showsProgress { StandardStreams.reportProgress("") } }
        do {
            return try Exporter.run(options) { if showsProgress { StandardStreams.reportProgress($0) } }
        } catch {
            if let report, let details = error.report { try writeAtomically(details.text.utf8 + [0x0A], to: report) }
            throw error
        }
    }

    /// Runs the command; whatever fails becomes one line on standard error and the documented exit code.
    static func main() {
        do {
            var command = try parseAsRoot()
            try command.run()
        } catch let error as any ClassifiedError {
            StandardStreams.reportLine("albef-export: \(error)")
            exit(withError: ExitCode(error.kind.rawValue))
        } catch {
            // Help and version are no failures, and are printed as ArgumentParser prints them.
            if exitCode(for: error) == .success { exit(withError: error) }
            StandardStreams.reportLine("albef-export: " + singleLine(message(for: error), limit: 2000))
            exit(withError: ExitCode(FailureKind.usage.rawValue))
        }
    }
}
