import Albef
import AlbefFiles
import ArgumentParser

/// Vision-language answers on a CPU from one model file. Each subcommand parses its options, calls `Albef`, and prints.
@main
struct AlbefInfer: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "albef-infer",
        abstract: "Answers about pictures and texts from one .albef model file, on the CPU.",
        discussion: """
            Exit codes: 0 done; 1 a check failed (verify); 64 usage; 65 bad data (image, model, text, or a head that the \
            model lacks); 66 missing input; 70 our fault; 74 cannot read or write.
            """,
        version: albefVersion,
        subcommands: [
            InfoCommand.self, MatchCommand.self, SearchCommand.self, EmbedCommand.self, VQACommand.self,
            EntailCommand.self, ReasonCommand.self, GroundCommand.self, FillMaskCommand.self, TraceCommand.self,
            VerifyCommand.self, EvaluateCommand.self, RunCommand.self, BenchCommand.self,
        ])

    /// Runs the command; whatever fails becomes one line on standard error and the documented exit code.
    static func main() {
        StandardStreams.reportClosedPipes()
        do {
            var command = try parseAsRoot()
            try command.run()
        } catch let error as any ClassifiedError {
            StandardStreams.reportLine("albef-infer: \(error)")
            exit(withError: ExitCode(error.kind.rawValue))
        } catch let code as ExitCode {
            exit(withError: code)
        } catch {
            // Help and version are no failures, and are printed as ArgumentParser prints them.
            if exitCode(for: error) == .success { exit(withError: error) }
            StandardStreams.reportLine("albef-infer: " + singleLine(message(for: error), limit: 2000))
            exit(withError: ExitCode(FailureKind.usage.rawValue))
        }
    }
}
