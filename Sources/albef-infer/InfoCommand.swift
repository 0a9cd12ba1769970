import Albef
import AlbefFiles
import AlbefKernels
import ArgumentParser

/// Says what a model file holds and how this machine would run it.
struct InfoCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "info",
        abstract: "Configuration, heads, sections, digests, provenance, kernel variants and memory of a model.")

    @OptionGroup var common: CommonOptions
    @Flag(help: "Also check the SHA-256 of every section, weights included.")
    var checkSums = false
    @Flag(help: "Also list every tensor.")
    var tensors = false

    func run() throws {
        let session = try common.session()
        let file = session.model.file
        if checkSums { try file.verifySums() }
        let variants = session.kernels.variants()
        let planned = try session.plannedTasks()
        var members = [
            JSONMember("model", .string(file.path)), JSONMember("format", .string(file.formatVersion)),
            JSONMember("task", .string(file.task.rawValue)), JSONMember("precision", .string(file.precision.rawValue)),
            JSONMember("heads", JSONValue(heads(session.model))), JSONMember("bytes", JSONValue(file.byteCount)),
            JSONMember("digest", .string(file.digest)), JSONMember("file_digest", .string(file.fileDigest)),
            JSONMember("arithmetic_revision", JSONValue(Arithmetic.revision)),
            JSONMember("configuration", file.configuration.json),
            JSONMember(
                "provenance",
                [
                    "checkpoint": .string(file.provenance.checkpointName),
                    "checkpoint_sha256": .string(file.provenance.checkpointDigest),
                    "exporter": .string(file.provenance.exporterVersion),
                ]),
            JSONMember("vocabulary", JSONValue(file.vocabulary.count)),
            JSONMember("answers", file.answers.map { JSONValue($0.count) } ?? .null),
            JSONMember(
                "sections",
                .array(
                    file.sections.map {
                        ["name": .string($0.name), "offset": JSONValue($0.offset), "bytes": JSONValue($0.storedSize)]
                    })),
            JSONMember("isa", .string(session.kernels.isa.rawValue)), JSONMember("threads", JSONValue(session.kernels.threads)),
            JSONMember("kernels", .object(variants.map { JSONMember($0.operation, .string($0.variant)) })),
            JSONMember("session_bytes", JSONValue(session.plannedBytes)),
            JSONMember(
                "task_bytes", .object(planned.map { JSONMember($0.task.rawValue, JSONValue($0.bytes)) })),
        ]
        if tensors {
            members.append(
                JSONMember(
                    "tensors",
                    .array(
                        file.tensors.map {
                            [
                                "name": .string($0.name), "kind": .string($0.kind.rawValue),
                                "shape": .array($0.shape.array.map { JSONValue($0) }), "bytes": JSONValue($0.byteCount),
                            ]
                        })))
        }
        try common.show(.object(members), description(session, planned))
    }

    private func heads(_ model: Model) -> [String] {
        Head.allCases.filter(model.heads.contains).map { "\($0.rawValue)" }
    }

    private func description(_ session: Session, _ planned: [(task: PlannedTask, bytes: Int)]) -> String {
        let file = session.model.file
        let shape = file.configuration
        let pictures = session.model.picturesPerText == 1 ? "" : " with \(session.model.picturesPerText) pictures in turn"
        var lines = [
            "model        \(file.path): \(file.task.rawValue), \(file.precision.rawValue), \(megabytes(file.byteCount)), format \(file.formatVersion)",
            "heads        \(heads(session.model).joined(separator: ", "))",
            "image        \(shape.imageSize)x\(shape.imageSize), patches of \(shape.patchSize), \(shape.visionLayers) layers of width \(shape.visionWidth), \(shape.visionHeads) heads",
            "text         \(shape.textLayers) layers of width \(shape.textWidth), \(shape.textHeads) heads, fusion from layer \(shape.fusionLayer)\(pictures), \(shape.maxPositions) positions, \(file.vocabulary.count) word pieces",
        ]
        if shape.decoderLayers > 0 {
            lines.append("decoder      \(shape.decoderLayers) layers, \(file.answers?.count ?? 0) answers in the file")
        }
        lines += [
            "digest       \(file.digest)",
            "checkpoint   \(file.provenance.checkpointName), SHA-256 \(file.provenance.checkpointDigest)",
            "exporter     \(file.provenance.exporterVersion)",
            "arithmetic   revision \(Arithmetic.revision)",
            "sections     "
                + file.sections.map { "\($0.name) \(megabytes($0.storedSize))" }.joined(separator: ", "),
            "runs with    \(session.kernels.isa.rawValue), \(session.kernels.threads) threads",
            "activations  \(megabytes(session.plannedBytes)) at most for texts of \(session.textLimit) tokens: "
                + planned.map { "\($0.task.rawValue) \(megabytes($0.bytes))" }.joined(separator: ", "),
        ]
        for report in session.kernels.variants() {
            lines.append("  " + left(report.operation, 24) + report.variant)
        }
        if tensors {
            for entry in file.tensors {
                lines.append("  " + left(entry.name, 64) + left(entry.kind.rawValue, 16) + "\(entry.shape)")
            }
        }
        if checkSums { lines.append("sums         every section's SHA-256 is right") }
        return lines.joined(separator: "\n")
    }

    private func megabytes(_ bytes: Int) -> String { digits(Double(bytes) / 1_000_000, 2) + " MB" }
}
