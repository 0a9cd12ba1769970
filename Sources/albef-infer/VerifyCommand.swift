import Albef
import AlbefFiles
import AlbefKernels
import ArgumentParser

/// Tests a box, a build or a model against golden fixtures.
struct VerifyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify", abstract: "Compares every stage with golden fixtures: bounds against PyTorch, exact bytes.",
        discussion: """
            Exit code 1 if a bound is broken or a recorded digest differs. Digests are recorded for a model and an \
            arithmetic revision with --record, which computes with the scalar kernels.
            """)

    @OptionGroup var common: CommonOptions
    @Option(help: ArgumentHelp("The golden fixtures: a folder with a manifest.json.", valueName: "folder"))
    var fixtures: String
    @Flag(help: "Record this run's digests in the fixtures' exact.json.")
    var record = false
    @Flag(help: "Fail also where no digest is recorded.")
    var requireExact = false
    @Flag(
        help: """
            Compute all cases also with every instruction set of this processor and 1 to 16 threads: the bytes must be the \
            same. The slow scalar kernels compute each case with four numbers of threads, and every number a quarter of the cases.
            """)
    var everySetting = false
    @Flag(help: "With --every-setting: the scalar kernels, too, compute every case with every number of threads.")
    var exhaustive = false

    func validate() throws {
        if record && requireExact { throw ValidationError("Give --record or --require-exact, not both.") }
        if exhaustive && !everySetting { throw ValidationError("--exhaustive is about --every-setting: give both.") }
        if record, let isa = common.isa, isa != ISA.scalar.rawValue {
            throw ValidationError("--record computes with the scalar kernels; leave out --isa \(isa).")
        }
    }

    func run() throws {
        var options = common
        if record { options.isa = ISA.scalar.rawValue }
        let session = try options.session()
        try session.model.file.verifySums()
        let golden = try GoldenSet(folder: fixtures)
        let path = fixtures + "/exact.json"
        var recorded = try RecordedDigests(path: path)
        let showsProgress = !common.quiet && !common.json && StandardStreams.errorIsTerminal
        let result = try session.verify(golden, recorded: record ? RecordedDigests() : recorded) { done, all in
            if showsProgress { StandardStreams.reportProgress("case \(done + 1) of \(all)") }
        }
        if showsProgress { StandardStreams.reportProgress("") }
        if record {
            recorded.record(result.digests, model: session.model.file.digest)
            try recorded.write(to: path)
        }
        let settings =
            everySetting
            ? try session.model.compareSettings(with: result.digests, of: golden, exhaustive: exhaustive) : []
        let passed =
            result.passed && !(requireExact && result.notRecorded > 0) && settings.allSatisfy(\.different.isEmpty)
        try common.show(json(result, settings, passed), description(result, settings, session, golden, passed))
        if !passed { throw ExitCode(1) }
    }

    private func json(_ result: Verification, _ settings: [SettingComparison], _ passed: Bool) -> JSONValue {
        let compared = settings.map { setting in
            [
                "isa": .string(setting.isa.rawValue), "threads": JSONValue(setting.threads), "cases": JSONValue(setting.cases),
                "different": JSONValue(setting.different.count),
            ] as JSONValue
        }
        let members = everySetting ? [JSONMember("settings", .array(compared))] : []
        return .object((stages(result).members ?? []) + members + [JSONMember("passed", .bool(passed))])
    }

    private func stages(_ result: Verification) -> JSONValue {
        [
            "stages": .array(
                result.rows.map { row in
                    [
                        "stage": .string(row.check.stage), "measure": .string(row.check.measure.rawValue),
                        "aggregate": .string(row.check.aggregate.rawValue), "cases": JSONValue(row.cases),
                        "worst": row.figure.isFinite ? JSONValue(row.figure) : .null, "limit": JSONValue(row.check.limit),
                        "passed": .bool(row.passed), "digest": .string(row.digest),
                    ]
                }),
            "exact": [
                "equal": JSONValue(result.equal), "different": JSONValue(result.different),
                "not_recorded": JSONValue(result.notRecorded),
            ],
        ]
    }

    private func description(
        _ result: Verification, _ settings: [SettingComparison], _ session: Session, _ golden: GoldenSet, _ passed: Bool
    ) -> String {
        var lines = [
            "\(session.model.file.precision.rawValue) on \(session.kernels.isa.rawValue), \(session.kernels.threads) threads, against PyTorch \(golden.versions["torch"] ?? "?")",
            left("stage", 20) + left("measure", 16) + left("over cases", 11) + right("cases", 6) + right("figure", 12)
                + right("limit", 10) + "        digest",
        ]
        for row in result.rows {
            lines.append(
                left(row.check.stage, 20) + left(row.check.measure.rawValue, 16) + left(row.check.aggregate.rawValue, 11)
                    + right("\(row.cases)", 6) + right(digits(row.figure, 8), 12) + right(digits(row.check.limit, 5), 10)
                    + (row.passed ? "  ok    " : "  BROKEN") + "  " + row.digest.prefix(16))
        }
        lines.append(
            record
                ? "recorded \(result.digests.count) digests"
                : "exact bytes: \(result.equal) equal, \(result.different.count) different, \(result.notRecorded) not recorded")
        lines += result.different.prefix(10).map { "  different: \($0)" }
        for setting in settings {
            lines.append(
                "  " + left(setting.isa.rawValue, 12) + right("\(setting.threads) threads", 11)
                    + right("\(setting.cases) of \(golden.cases.count) cases", 18)
                    + (setting.different.isEmpty ? "  same bytes" : "  \(setting.different.count) tensors differ"))
            lines += setting.different.prefix(3).map { "    different: \($0)" }
        }
        lines.append(passed ? "passed" : "FAILED")
        return lines.joined(separator: "\n")
    }
}
