import AlbefFiles
import AlbefModelFile

/// What happened to one weight.
public struct TensorReport: Sendable, Equatable {
    /// Name in the model file.
    public let name: String
    /// Name in the checkpoint.
    public let source: String
    /// "int8" or "float32".
    public let type: String
    /// Shape in the model file: `[channels, depth]` for a matrix.
    public let shape: [Int]
    /// What quantisation did; nil for float32.
    public let quantisation: Quantisation?

    /// Quantisation of a matrix to int8 with one scale a channel.
    public struct Quantisation: Sendable, Equatable {
        /// The least and the greatest scale: what one step of a channel's int8 values stands for.
        public let scales: ClosedRange<Float>
        /// Root mean square of the weights' errors, as a share of the weights' root mean square.
        public let relativeError: Double
        /// The channel whose own relative error is greatest, and that error.
        public let worstChannel: Int
        public let worstError: Double
    }
}

/// What an export read, wrote and lost.
public struct ExportReport: Sendable {
    public let modelPath: String
    /// Bytes of the model file.
    public internal(set) var modelByteCount = 0
    /// The model file's digest, as `albef-infer info` shows it.
    public internal(set) var modelDigest = ""
    public let checkpointPath: String
    public let checkpointByteCount: Int
    /// SHA-256 of the checkpoint file.
    public let checkpointDigest: String
    /// The checkpoint's format, for people.
    public let checkpointFormat: String
    public let task: ModelTask
    public let precision: Precision
    public let configuration: ModelConfiguration
    /// Heads of the model: "contrastive", "matching", "masked-language", "answering", "entailment", "reasoning".
    public let heads: [String]
    /// Answers of the answer list; nil if the model answers no questions.
    public let answerCount: Int?
    /// Every weight, in the order of the model file.
    public let tensors: [TensorReport]
    /// Tensors of the checkpoint that training needs and a model file does not: momentum twins, queues, position numbers.
    public let twins: Int
    public let queues: Int
    public let positionIDs: Int
    /// Second names of tensors that are stored once.
    public let tied: Int
    /// Tensors of the checkpoint that no part of the model has a use for.
    public let unused: [String]
    /// The side of the checkpoint's pictures in pixels; where the model's differs, position embeddings were interpolated.
    public let checkpointImageSize: Int
    /// What calibration chose; nil without it.
    public let calibration: CalibrationReport?

    /// The int8 matrices with the largest relative errors, the worst first.
    public func worst(_ count: Int) -> [TensorReport] {
        Array(
            tensors.filter { $0.quantisation != nil }.sorted {
                let (a, b) = ($0.quantisation?.relativeError ?? 0, $1.quantisation?.relativeError ?? 0)
                return a != b ? a > b : $0.name < $1.name
            }.prefix(count))
    }

    /// The report as JSON.
    public var json: JSONValue {
        var members: [JSONMember] = base.members ?? []
        if configuration.imageSize != checkpointImageSize {
            members.append(JSONMember("interpolated_from_image_size", JSONValue(checkpointImageSize)))
        }
        if let calibration { members.append(JSONMember("calibration", calibration.json)) }
        return .object(members)
    }

    private var base: JSONValue {
        .object([
            "model": [
                "path": .string(modelPath), "bytes": JSONValue(modelByteCount), "digest": .string(modelDigest),
                "task": .string(task.rawValue), "precision": .string(precision.rawValue), "heads": JSONValue(heads),
                "configuration": configuration.json, "answers": answerCount.map { JSONValue($0) } ?? .null,
            ],
            "checkpoint": [
                "path": .string(checkpointPath), "bytes": JSONValue(checkpointByteCount),
                "sha256": .string(checkpointDigest), "format": .string(checkpointFormat),
            ],
            "ignored": [
                "twins": JSONValue(twins), "queues": JSONValue(queues), "position_ids": JSONValue(positionIDs),
                "tied": JSONValue(tied), "unused": JSONValue(unused),
            ],
            "tensors": .array(tensors.map(\.json)),
        ])
    }

    /// A few lines for a person.
    public var summary: String {
        let c = configuration
        var lines = [
            "\(modelPath): \(task.rawValue), \(precision.rawValue), \(ExportReport.size(modelByteCount))",
            "  picture \(c.imageSize)x\(c.imageSize) in patches of \(c.patchSize), \(c.visionLayers) blocks of width "
                + "\(c.visionWidth); text \(c.textLayers) layers of width \(c.textWidth), fusion from layer "
                + "\(c.fusionLayer), \(c.vocabSize) tokens"
                + (c.decoderLayers > 0 ? "; decoder \(c.decoderLayers) layers" : "")
                + (answerCount.map { ", \($0) answers" } ?? ""),
            "  heads: " + heads.joined(separator: ", "),
            "  from \(checkpointPath): \(checkpointFormat), \(ExportReport.size(checkpointByteCount)); \(tensors.count) tensors "
                + "loaded, ignored: \(twins) of momentum twins, \(queues) of queues, \(positionIDs) position_ids, \(tied) tied, "
                + "\(unused.count) without use" + (unused.isEmpty ? "" : " (\(ExportReport.list(unused)))"),
        ]
        if c.imageSize != checkpointImageSize {
            lines.append(
                "  position embeddings interpolated from pictures of \(checkpointImageSize)x\(checkpointImageSize)")
        }
        if let calibration { lines += calibration.summary }
        let worst = worst(3)
        if !worst.isEmpty {
            let count = tensors.count { $0.quantisation != nil }
            lines.append("  int8: \(count) matrices; largest relative errors:")
            for tensor in worst {
                guard let loss = tensor.quantisation else { continue }
                lines.append(
                    "    \(ExportReport.percent(loss.relativeError))  \(tensor.name)  (channel \(loss.worstChannel): "
                        + "\(ExportReport.percent(loss.worstError)))")
            }
        }
        return lines.joined(separator: "\n")
    }

    /// What a model file keeps of the report.
    var provenance: JSONValue {
        let worst = worst(1).first
        let summary: JSONValue = .object([
            "tensors": JSONValue(tensors.count), "int8_matrices": JSONValue(tensors.count { $0.quantisation != nil }),
            "largest_relative_error": worst?.quantisation.map { JSONValue($0.relativeError) } ?? .null,
            "largest_relative_error_tensor": worst.map { .string($0.name) } ?? .null,
        ])
        guard let calibration else { return summary }
        return .object(
            (summary.members ?? []) + [
                JSONMember("smoothed_layers", JSONValue(calibration.folds.count)),
                JSONMember("float32_matrices", JSONValue(calibration.floats.map(\.tensor))),
            ])
    }

    private static func list(_ names: [String]) -> String {
        names.prefix(3).map { singleLine($0, limit: 80) }.joined(separator: ", ") + (names.count > 3 ? ", …" : "")
    }

    /// Bytes in megabytes of 10⁶ bytes with one decimal.
    private static func size(_ bytes: Int) -> String {
        let tenths = (bytes + 50_000) / 100_000
        return "\(tenths / 10).\(tenths % 10) MB"
    }

    /// A share in percent with two decimals.
    static func percent(_ share: Double) -> String {
        let hundredths = Int((min(share, 1e6) * 10_000).rounded())
        let fraction = hundredths % 100
        return "\(hundredths / 100).\(fraction < 10 ? "0" : "")\(fraction) %"
    }
}

extension TensorReport {
    var json: JSONValue {
        var members = [
            JSONMember("name", .string(name)), JSONMember("source", .string(source)), JSONMember("type", .string(type)),
            JSONMember("shape", .array(shape.map { JSONValue($0) })),
        ]
        if let quantisation {
            members += [
                JSONMember("scale_min", JSONValue(quantisation.scales.lowerBound)),
                JSONMember("scale_max", JSONValue(quantisation.scales.upperBound)),
                JSONMember("relative_error", JSONValue(quantisation.relativeError)),
                JSONMember("worst_channel", JSONValue(quantisation.worstChannel)),
                JSONMember("worst_channel_error", JSONValue(quantisation.worstError)),
            ]
        }
        return .object(members)
    }
}
