import Albef
import AlbefFiles

/// What a calibration found and chose.
public struct CalibrationReport: Sendable {
    /// A matrix by what it alone causes.
    public struct Layer: Sendable {
        /// Name in the model file.
        public let tensor: String
        /// The bound that the results come nearest to when this matrix is int8 and all others are float; nil without results.
        public let worst: Deviation?
        /// True if the matrix stays float32.
        public internal(set) var isFloat = false
        /// For one that does: the share of its limit that the worst bound would take if this matrix were int8 too.
        public internal(set) var shareIfInt8: Double?

        /// The share of its limit that the worst bound takes.
        public var share: Double { worst?.share ?? 0 }

        init(tensor: String, worst: Deviation?) {
            self.tensor = tensor
            self.worst = worst
        }
    }

    public let folder: String
    /// Cases that were run.
    public let cases: Int
    /// Cases that could not be used, and why, a line each.
    public let skipped: [String]
    /// The model with every matrix in int8.
    public let plain: [Deviation]
    /// The same with smoothed layers; nil where no smoothing helps a layer.
    public let smoothed: [Deviation]?
    /// The smoothings that the model has; none where the results do not gain by them.
    let folds: [Fold]
    /// The model with every matrix in float: what 8-bit attention alone causes.
    public let attention: [Deviation]
    /// Every matrix, the one that causes the greatest error first.
    public internal(set) var layers: [Layer]
    /// The model as it is exported.
    public internal(set) var chosen: [Deviation]

    /// Matrices that stay float32, in the order of their ranks.
    public var floats: [Layer] { layers.filter(\.isFloat) }

    mutating func mark(_ floats: [String: Double]) {
        for index in layers.indices {
            layers[index].shareIfInt8 = floats[layers[index].tensor]
            layers[index].isFloat = layers[index].shareIfInt8 != nil
        }
    }

    var json: JSONValue {
        [
            "folder": .string(folder), "cases": JSONValue(cases), "skipped": JSONValue(skipped),
            "all_int8": CalibrationReport.json(plain), "smoothed": smoothed.map(CalibrationReport.json) ?? .null,
            "attention_alone": CalibrationReport.json(attention), "exported": CalibrationReport.json(chosen),
            "smoothings": .array(
                folds.map { fold in
                    [
                        "layers": JSONValue(fold.site.consumers), "share": JSONValue(fold.share),
                        "error_before": JSONValue(fold.errorBefore), "error_after": JSONValue(fold.errorAfter),
                    ]
                }),
            "layers": .array(
                layers.map { layer in
                    [
                        "tensor": .string(layer.tensor), "type": .string(layer.isFloat ? "float32" : "int8"),
                        "share_of_limit": CalibrationReport.number(layer.share),
                        "stage": layer.worst.map { .string($0.check.stage) } ?? .null,
                        "measure": layer.worst.map { .string($0.check.measure.rawValue) } ?? .null,
                        "figure": layer.worst.map { CalibrationReport.number($0.figure) } ?? .null,
                        "share_if_int8": layer.shareIfInt8.map(CalibrationReport.number) ?? .null,
                    ]
                }),
        ]
    }

    private static func json(_ deviations: [Deviation]) -> JSONValue {
        .array(
            deviations.map { deviation in
                [
                    "stage": .string(deviation.check.stage), "measure": .string(deviation.check.measure.rawValue),
                    "aggregate": .string(deviation.check.aggregate.rawValue), "cases": JSONValue(deviation.cases),
                    "figure": number(deviation.figure), "limit": JSONValue(deviation.check.limit),
                    "share_of_limit": number(deviation.share),
                ]
            })
    }

    /// JSON has no infinity.
    private static func number(_ value: Double) -> JSONValue { value.isFinite ? JSONValue(value) : .null }

    /// Lines for a person.
    var summary: [String] {
        var lines = [
            "  calibrated on \(cases) cases of \(folder)" + (skipped.isEmpty ? "" : ", \(skipped.count) skipped")
                + "; the worst bound, as a share of its limit:",
            "    every matrix int8: \(CalibrationReport.describe(plain))",
        ]
        if let smoothed { lines.append("    with smoothed layers: \(CalibrationReport.describe(smoothed))") }
        lines.append("    every matrix float, attention int8: \(CalibrationReport.describe(attention))")
        lines.append("    as exported: \(CalibrationReport.describe(chosen))")
        lines.append(
            folds.isEmpty
                ? "  no layer smoothed" + (smoothed == nil ? "" : ": the results do not gain by it")
                : "  \(folds.count) layers' inputs smoothed, exactly")
        let floats = floats
        lines.append(
            floats.isEmpty
                ? "  every matrix int8; those that cause the greatest errors alone:"
                : "  \(floats.count) of \(layers.count) matrices kept in float32, to keep to the bounds:")
        for layer in floats.isEmpty ? Array(layers.prefix(5)) : floats {
            let reason = layer.shareIfInt8.map { "; the model's would be \(CalibrationReport.percent($0)) without" } ?? ""
            lines.append(
                "    \(CalibrationReport.percent(layer.share))  \(layer.tensor)  (\(layer.worst?.check.stage ?? "no stage")\(reason))")
        }
        return lines
    }

    private static func describe(_ deviations: [Deviation]) -> String {
        guard let worst = deviations.worst else { return "nothing to measure" }
        return "\(percent(worst.share)) (\(worst.check.stage), \(worst.check.measure.rawValue), \(worst.check.aggregate.rawValue))"
    }

    /// A share in whole percent, or with two decimals below ten.
    private static func percent(_ share: Double) -> String {
        guard share.isFinite else { return "beyond measure" }
        return ExportReport.percent(share)
    }
}
