import Albef
import AlbefFiles
import AlbefKernels
import ArgumentParser

/// Says how fast this machine runs a model, and how fast it could.
struct BenchCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench",
        abstract: "Times of every stage and task that a model allows, beside what this CPU can do at most.",
        discussion: """
            First the machine: int8 and float32 multiply-adds in registers, and reading memory. Then each stage, after two runs \
            that do not count. GMAC is what the published algorithm multiplies; where the runtime gets the same answer with \
            fewer products, the share of the peak (of the model's precision) may exceed 100 %. The floor is the longer of both: multiplying at the \
            peak, or reading the stage's weights once from memory.
            """)

    @OptionGroup var common: CommonOptions
    @OptionGroup var limit: PictureLimit
    @Option(help: ArgumentHelp("Runs of each stage.", valueName: "n"))
    var runs = 10
    @Option(help: ArgumentHelp("A JPEG or PNG picture (default: a made-up one of 640 x 480).", valueName: "file"))
    var image: String?
    @Option(help: ArgumentHelp("JSON list of answers to rank instead of the model's own.", valueName: "a.json"))
    var answers: String?
    @Option(
        parsing: .upToNextOption,
        help: ArgumentHelp("Stages to time (default: all that the model allows).", valueName: "stage"))
    var stages: [String] = []

    func validate() throws {
        if runs < 1 || runs > 100_000 { throw ValidationError("--runs takes 1 to 100000, found \(runs).") }
        for name in stages where BenchmarkStage(rawValue: name) == nil {
            let known = BenchmarkStage.allCases.map(\.rawValue).joined(separator: ", ")
            throw ValidationError("--stages: no stage '\(name)'; there are \(known).")
        }
        if answers != nil, !stages.isEmpty, !namedStages.contains(where: \.ranksAnswers) {
            throw ValidationError("--answers: none of the stages ranks answers.")
        }
    }

    /// What ``stages`` names.
    private var namedStages: [BenchmarkStage] { stages.compactMap(BenchmarkStage.init(rawValue:)) }

    func run() throws {
        let kernels = try common.kernels()
        let model = try Model(path: common.model)
        let picture = try image.map(limit.decode)
        let candidates = try answers.map { path in
            try model.require(.answering)
            return try model.answerList(readAnswers(path))
        }
        // The machine first: the session's memory is not there yet when the peak of memory begins to count.
        let early = kernels.measurePeak()
        let bandwidth = kernels.measureReadBandwidth()
        let counted = ProcessMemory.resetPeak()
        let session = try Session(model: model, kernels: kernels)
        let benchmark = Benchmark(session, picture: picture, answers: candidates)
        var rows: [StageTimes] = []
        for stage in stages.isEmpty ? benchmark.stages : namedStages {
            progress("timing \(stage.rawValue)")
            let (latency, workload) = try benchmark.measure(stage, runs: runs)
            rows.append(StageTimes(stage: stage, latency: latency, workload: workload))
        }
        progress("")
        let memory = counted ? ProcessMemory.peakResidentBytes() : nil
        // And once more: the workers of a process that has just begun may share a processor for as long as their peak is measured.
        let late = kernels.measurePeak()
        let machine = Machine(
            isInt8: model.file.precision == .int8, int8: max(early.int8GMACs, late.int8GMACs) * 1e9,
            float32: max(early.float32GMACs, late.float32GMACs) * 1e9, bandwidth: bandwidth * 1e9)
        try common.show(
            json(session, machine, rows, memory), text(session, machine, rows, memory))
    }

    private func progress(_ text: String) {
        if !common.quiet, !common.json, StandardStreams.errorIsTerminal { StandardStreams.reportProgress(text) }
    }

    private func json(_ session: Session, _ machine: Machine, _ rows: [StageTimes], _ memory: Int?) -> JSONValue {
        [
            "model": .string(session.model.file.path), "digest": .string(session.model.file.digest),
            "isa": .string(session.kernels.isa.rawValue), "threads": JSONValue(session.kernels.threads),
            "precision": .string(session.model.file.precision.rawValue), "runs": JSONValue(runs),
            "peak": [
                "int8_gmacs": JSONValue(machine.int8 / 1e9), "float32_gmacs": JSONValue(machine.float32 / 1e9),
                "read_gbytes": JSONValue(machine.bandwidth / 1e9),
            ],
            "stages": .array(rows.map { $0.json(machine) }),
            "session_bytes": JSONValue(session.plannedBytes), "used_bytes": JSONValue(session.peakBytes),
            "peak_resident_bytes": memory.map { JSONValue($0) } ?? .null,
        ]
    }

    private func text(_ session: Session, _ machine: Machine, _ rows: [StageTimes], _ memory: Int?) -> String {
        var lines = [
            "\(session.kernels.isa.rawValue), \(session.kernels.threads) threads: int8 peak \(digits(machine.int8 / 1e9, 1)) GMAC/s, "
                + "float32 peak \(digits(machine.float32 / 1e9, 1)) GMAC/s, reading memory \(digits(machine.bandwidth / 1e9, 1)) GB/s",
            left("", 22) + right("GMAC", 8) + right("p50 ms", 10) + right("p90 ms", 10) + right("min ms", 10)
                + right("floor ms", 10) + right("GMAC/s", 9) + right("of peak", 9),
        ]
        lines += rows.map { $0.line(machine) }
        lines.append(
            "activations: \(megabytes(session.plannedBytes)) planned, \(megabytes(session.peakBytes)) used; "
                + "most memory resident at a time, weights included: \(memory.map(megabytes) ?? "unknown")")
        return lines.joined(separator: "\n")
    }

    private func megabytes(_ bytes: Int) -> String { digits(Double(bytes) / 1_000_000, 1) + " MB" }
}

/// What the machine can do at most, a second.
private struct Machine {
    /// Whether the model's matrices are int8.
    let isInt8: Bool
    let int8, float32, bandwidth: Double

    /// Multiply-adds in the model's precision.
    var peak: Double { isInt8 ? int8 : float32 }
}

/// A stage with its times.
private struct StageTimes {
    let stage: BenchmarkStage
    let latency: Latency
    let workload: Workload

    private var gigaMACs: Double { Double(workload.multiplyAdds) / 1e9 }
    /// Multiply-adds a second of the fastest run.
    private var rate: Double { Double(workload.multiplyAdds) / latency.minimum }

    func json(_ machine: Machine) -> JSONValue {
        [
            "stage": .string(stage.rawValue), "tokens": stage.tokens.map { JSONValue($0) } ?? .null,
            "gmac": JSONValue(gigaMACs), "weight_bytes": JSONValue(workload.weightBytes),
            "p50_ms": JSONValue(latency.percentile(50) * 1e3), "p90_ms": JSONValue(latency.percentile(90) * 1e3),
            "min_ms": JSONValue(latency.minimum * 1e3), "floor_ms": JSONValue(floor(machine) * 1e3),
            "weights_floor_ms": JSONValue(Double(workload.weightBytes) / machine.bandwidth * 1e3),
            "gmacs": JSONValue(rate / 1e9), "peak_share": JSONValue(rate / machine.peak),
        ]
    }

    func line(_ machine: Machine) -> String {
        let times = [latency.percentile(50), latency.percentile(90), latency.minimum].map { right(digits($0 * 1e3, 2), 10) }
        let head = left(stage.rawValue, 22)
        if workload.multiplyAdds == 0 { return head + right("", 8) + times.joined() }
        return head + right(digits(gigaMACs, 2), 8) + times.joined() + right(digits(floor(machine) * 1e3, 2), 10)
            + right(digits(rate / 1e9, 1), 9) + right(digits(rate / machine.peak * 100, 0) + " %", 9)
    }

    private func floor(_ machine: Machine) -> Double { workload.floor(peak: machine.peak, bandwidth: machine.bandwidth) }
}
