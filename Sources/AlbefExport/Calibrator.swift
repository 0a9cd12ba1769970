import Albef
import AlbefKernels
import AlbefModelFile
import AlbefTensor

/// Chooses how a model is quantised by what it costs in the results: which layers' inputs are smoothed, and which matrices
/// stay in float.
///
/// What is chosen depends on the checkpoint, the settings and the calibration folder alone, since every instruction set and
/// number of threads gives the same bytes.
struct Calibrator {
    /// Cases that bounds are judged on, and those that each matrix is run on alone.
    static let caseLimit = 24
    static let rankingCaseLimit = 8
    /// Rows of each layer's inputs that a smoothing is chosen on.
    static let sampledRows = 64

    private let exporter: Exporter
    private let folder: CalibrationFolder
    private let progress: (String) -> Void

    init(_ exporter: Exporter, folder path: String, progress: @escaping (String) -> Void) throws(ExportError) {
        self.exporter = exporter
        self.progress = progress
        folder = try CalibrationFolder(path, limit: Calibrator.caseLimit)
    }

    func run() throws(ExportError) -> (plan: StoragePlan, report: CalibrationReport) {
        let kernels = exporter.reader.kernels
        let sites = SmoothingSite.all(exporter.configuration, exporter.layout)
        let recorder = LinearInputRecorder(layers: Set(sites.flatMap(\.consumers)), rowLimit: Calibrator.sampledRows)
        progress("running the float model on \(folder.cases.count) calibration cases")
        var float = try exporter.temporaryModel(StoragePlan(precision: .float32))
        let bench = try CalibrationBench(
            folder, float, kernels, recorder: recorder, rankingLimit: Calibrator.rankingCaseLimit)

        progress("running the int8 model")
        var plan = StoragePlan(precision: .int8)
        var quantised = try exporter.temporaryModel(plan)
        let plain = try bench.deviations(of: quantised)

        progress("choosing among \(sites.count) smoothings")
        let search = SmoothingSearch(reader: exporter.reader, layout: exporter.layout, kernels: kernels)
        let folds = try search.folds(sites, recorder.inputs)
        var smoothed: [Deviation]?
        if !folds.isEmpty {
            let smoothedPlan = StoragePlan(precision: .int8, folds: folds)
            let candidate = try exporter.temporaryModel(smoothedPlan)
            let deviations = try bench.deviations(of: candidate)
            smoothed = deviations
            if deviations.worstShare < plain.worstShare {
                plan = smoothedPlan
                quantised = candidate
                float = try exporter.temporaryModel(StoragePlan(precision: .float32, folds: folds))
            }
        }

        let swap = MatrixSwap(
            float: float, quantised: quantised, names: exporter.layout.entries.filter(plan.isInt8).map(\.name))
        let ranking = try rank(swap, bench)
        let attention = try bench.deviations(of: swap.keepingFloat(Set(swap.names)))
        var report = CalibrationReport(
            folder: folder.path, cases: bench.count, skipped: bench.skipped, plain: plain, smoothed: smoothed,
            folds: plan.folds, attention: attention, layers: ranking, chosen: plain)
        let choice = try FloatChoice(ranking.map(\.tensor), target: max(1, 1.05 * attention.worstShare)) {
            (names) throws(ExportError) in
            progress("running the model with \(names.count) matrices in float")
            return try bench.deviations(of: swap.keepingFloat(names)).worstShare
        }
        plan.floats = Set(choice.names.keys)
        report.mark(choice.names)
        report.chosen = try bench.deviations(of: swap.keepingFloat(plan.floats))
        return (plan, report)
    }

    /// Every matrix with what it alone causes when it is int8 and the rest float, the worst first.
    private func rank(_ swap: MatrixSwap, _ bench: CalibrationBench) throws(ExportError) -> [CalibrationReport.Layer] {
        var layers: [CalibrationReport.Layer] = []
        for (number, name) in swap.names.enumerated() {
            progress("quantising matrix \(number + 1) of \(swap.names.count) alone")
            let deviations = try bench.deviations(of: swap.quantisingOnly(name), differingIn: name)
            layers.append(CalibrationReport.Layer(tensor: name, worst: deviations.worst))
        }
        return layers.enumerated().sorted { ($0.element.share, $1.offset) > ($1.element.share, $0.offset) }.map(\.element)
    }
}

/// Models between the float one and the int8 one: some matrices from the other.
struct MatrixSwap: Sendable {
    let float: ModelFile
    let quantised: ModelFile
    /// The matrices that are int8 in the one and float32 in the other.
    let names: [String]

    /// The int8 model with some matrices in float.
    func keepingFloat(_ floats: Set<String>) throws(ExportError) -> ModelFile {
        try modelOperation { () throws(ModelFileError) in quantised.replacing(try matrices(floats, of: float)) }
    }

    /// The float model with one matrix in int8.
    func quantisingOnly(_ name: String) throws(ExportError) -> ModelFile {
        try modelOperation { () throws(ModelFileError) in float.replacing(try matrices([name], of: quantised)) }
    }

    private func matrices(_ names: Set<String>, of file: ModelFile) throws(ModelFileError) -> [String: PackedMatrix] {
        var result: [String: PackedMatrix] = [:]
        for name in names {
            guard let shape = file.entry(name)?.shape else { throw .missingTensor(path: file.path, name: name) }
            result[name] = try file.matrix(name, channels: shape[0], depth: shape[1])
        }
        return result
    }
}

/// The fewest matrices, by their ranking, that must stay in float for the model to keep to its bounds.
struct FloatChoice {
    /// Each with the share of its limit that the worst bound would take if that matrix alone were int8 again.
    private(set) var names: [String: Double] = [:]

    /// Doubles the number of matrices until the target is kept, halves the last step, then takes back each matrix that is not
    /// needed after all.
    ///
    /// - Parameters:
    ///   - ranking: Names, the worst first.
    ///   - target: The share of its limit that the worst bound may take.
    ///   - share: The share that it takes with some matrices in float.
    init(_ ranking: [String], target: Double, share: (Set<String>) throws(ExportError) -> Double) throws(ExportError) {
        func keeps(_ count: Int) throws(ExportError) -> Bool { try share(Set(ranking.prefix(count))) <= target }
        if ranking.isEmpty { return }
        if try keeps(0) { return }
        var (broken, kept) = (0, 1)
        while kept < ranking.count {
            if try keeps(kept) { break }
            (broken, kept) = (kept, min(2 * kept, ranking.count))
        }
        while kept - broken > 1 {
            let middle = (broken + kept) / 2
            if try keeps(middle) { kept = middle } else { broken = middle }
        }
        var chosen = Set(ranking.prefix(kept))
        for name in ranking.prefix(kept).reversed() {
            let without = try share(chosen.subtracting([name]))
            if without <= target {
                chosen.remove(name)
                names[name] = nil
            } else {
                names[name] = without
            }
        }
    }
}
