import AlbefFiles
import AlbefKernels
import AlbefModelFile

/// Packs a checkpoint into a model file.
///
/// The checkpoint is mapped and read one tensor at a time; the model file appears whole or not at all. The same checkpoint,
/// settings and exporter give the same bytes.
public struct Exporter {
    /// So that 32-bit sums of products of bytes cannot overflow.
    private static let maximumInt8Depth = 32_768

    let options: ExportOptions
    let index: WeightIndex
    let configuration: ModelConfiguration
    let layout: ModelLayout
    let reader: WeightReader
    private let heads: Set<ModelHead>
    private let task: ModelTask
    private let vocabulary: [String]
    private let answers: [String]?

    /// Exports, and says what was done.
    ///
    /// - Parameter progress: Called with a line about what comes next; only calibration takes long enough for that.
    /// - Throws: ``ExportError``; nothing is left behind then, and a file that stood at the output stands there still.
    public static func run(
        _ options: ExportOptions, progress: @escaping (String) -> Void = { _ in }
    ) throws(ExportError) -> ExportReport {
        let exporter = try Exporter(options)
        guard let folder = options.calibration else {
            return try exporter.write(StoragePlan(precision: options.precision), calibration: nil)
        }
        let (plan, report) = try Calibrator(exporter, folder: folder, progress: progress).run()
        return try exporter.write(plan, calibration: report)
    }

    /// Reads everything but the weights, and checks that all of them are there and have the right shapes.
    init(_ options: ExportOptions) throws(ExportError) {
        self.options = options
        let inputs = [options.checkpoint, options.configuration, options.vocabulary, options.answers]
        if inputs.contains(options.output) { throw .outputIsInput(path: options.output) }
        if options.calibration != nil, options.precision == .float32 { throw .nothingToCalibrate }
        let kernels: Kernels
        do throws(KernelError) { kernels = try Kernels(threads: options.threads) } catch { throw .kernels(error) }
        let checkpoint = try openCheckpoint(options.checkpoint)
        var index = try WeightIndex(checkpoint)
        try index.mergeSharedTensors()
        self.index = index
        let inference = try ConfigurationInference(index)
        heads = inference.heads
        let stored = try ConfigurationResolution.resolve(
            inference, try ConfigurationSource.all(path: options.configuration, checkpoint: checkpoint),
            path: options.checkpoint)
        configuration = try ConfigurationResolution.resized(stored, to: options.imageSize)
        reader = WeightReader(index: index, stored: stored, configuration: configuration, kernels: kernels)
        layout = ModelLayout(stored, heads: heads)
        try Exporter.check(layout, index, options.precision)
        task = try Exporter.label(options, checkpoint, heads)
        vocabulary = try TextAssets.vocabulary(
            path: options.vocabulary, checkpoint: checkpoint, size: configuration.vocabSize)
        answers = try TextAssets.answers(path: options.answers, checkpoint: checkpoint, heads: heads)
    }

    /// What the model is for: as asked, as the metadata says, or as its heads are.
    private static func label(_ options: ExportOptions, _ checkpoint: any Checkpoint, _ heads: Set<ModelHead>)
        throws(ExportError) -> ModelTask
    {
        let stated = options.task ?? checkpoint.metadata["albef.task"].flatMap { ModelTask(rawValue: $0) }
        let byHead: [ModelTask] = [.vqa, .entailment, .nlvr, .pretrain, .retrieval]
        let natural = byHead.first { neededHeads($0).isSubset(of: heads) }
        guard let task = stated ?? natural else { throw .noHead(path: checkpoint.path) }
        let missing = neededHeads(task).subtracting(heads)
        guard missing.isEmpty else {
            throw .missingHead(path: checkpoint.path, task: task.rawValue, heads: missing.map(\.rawValue).sorted())
        }
        return task
    }

    private static func neededHeads(_ task: ModelTask) -> Set<ModelHead> {
        switch task {
        case .pretrain: [.contrastive, .matching, .maskedLanguage]
        case .retrieval, .grounding: [.contrastive, .matching]
        case .vqa: [.answering]
        case .entailment: [.entailment]
        case .nlvr: [.reasoning]
        }
    }

    /// Refuses a checkpoint that lacks a weight, or has one of another shape than the rest of the model asks for.
    private static func check(_ layout: ModelLayout, _ index: WeightIndex, _ precision: Precision) throws(ExportError) {
        let path = index.checkpoint.path
        let missing = layout.entries.map(\.name).filter { index[$0] == nil }
        guard missing.isEmpty else { throw .missingTensors(path: path, names: missing) }
        for entry in layout.entries {
            guard let tensor = index[entry.name] else { continue }
            guard tensor.shape == entry.shape else {
                throw .wrongShape(path: path, tensor: tensor.name, found: tensor.shape, expected: entry.shape)
            }
            guard tensor.type.isFloatingPoint else {
                throw .notFloatingPoint(path: path, tensor: tensor.name, type: tensor.type)
            }
            if case .matrix(_, let depth) = entry.form, precision == .int8, depth > maximumInt8Depth {
                throw .malformed(
                    path: path, field: tensor.name,
                    reason: "\(depth) inputs; int8 matrices have at most \(maximumInt8Depth). Use --precision float32")
            }
        }
    }

    // MARK: - Writing

    private func write(_ plan: StoragePlan, calibration: CalibrationReport?) throws(ExportError) -> ExportReport {
        let checkpoint = index.checkpoint
        let (digest, size) = try fileOperation { () throws(FileError) in
            (try SHA256.hex(ofFile: checkpoint.path), try MappedFile(path: checkpoint.path).byteCount)
        }
        let writer = try begin(options.output, plan)
        let tensors = try addAll(to: writer, plan)
        var report = ExportReport(
            modelPath: options.output, checkpointPath: checkpoint.path, checkpointByteCount: size,
            checkpointDigest: digest, checkpointFormat: checkpoint.format, task: task, precision: options.precision,
            configuration: configuration, heads: ModelHead.allCases.filter(heads.contains).map(\.rawValue),
            answerCount: answers?.count, tensors: tensors, twins: index.twins, queues: index.queues,
            positionIDs: index.positionIDs, tied: index.tied, unused: unusedNames(),
            checkpointImageSize: reader.stored.imageSize, calibration: calibration)
        let model = try modelOperation { () throws(ModelFileError) in
            try writer.commit(
                provenance: Provenance(
                    checkpointName: String(checkpoint.path.split(separator: "/").last ?? ""), checkpointDigest: digest,
                    exporterVersion: exporterVersion, report: report.provenance))
            return try ModelFile(path: options.output)
        }
        report.modelByteCount = model.byteCount
        report.modelDigest = model.digest
        return report
    }

    /// A model file without a name, for measuring. It takes its room beside the output.
    func temporaryModel(_ plan: StoragePlan) throws(ExportError) -> ModelFile {
        let writer = try begin(options.output, plan)
        _ = try addAll(to: writer, plan)
        return try modelOperation { () throws(ModelFileError) in
            try writer.commitWithoutName(
                provenance: Provenance(checkpointName: "", checkpointDigest: "", exporterVersion: exporterVersion))
        }
    }

    private func begin(_ path: String, _ plan: StoragePlan) throws(ExportError) -> ModelFileWriter {
        try modelOperation { () throws(ModelFileError) in
            try ModelFileWriter(
                path: path, configuration: configuration, precision: plan.precision, task: task, vocabulary: vocabulary,
                answers: answers)
        }
    }

    private func addAll(to writer: ModelFileWriter, _ plan: StoragePlan) throws(ExportError) -> [TensorReport] {
        var reports: [TensorReport] = []
        for entry in layout.entries { reports.append(try add(entry, to: writer, plan)) }
        return reports
    }

    /// Reads, checks and packs one weight.
    private func add(_ entry: LayoutEntry, to writer: ModelFileWriter, _ plan: StoragePlan) throws(ExportError)
        -> TensorReport
    {
        let weights = try reader.floats(entry, folds: plan.folds)
        let source = index[entry.name]?.name ?? entry.name
        let nonFinite = ExportError.nonFinite(path: index.checkpoint.path, tensor: source)
        let shape: [Int]
        var loss: TensorReport.Quantisation?
        switch entry.form {
        case .plain(let plain):
            guard weights.allSatisfy(\.isFinite) else { throw nonFinite }
            shape = reader.plainShape(entry, plain)
            try modelOperation { () throws(ModelFileError) in try writer.add(entry.name, weights, shape: shape) }
        case .matrix(let channels, let depth) where plan.isInt8(entry):
            guard let packed = Kernels.packInt8(weights, channels: channels, depth: depth, threads: options.threads) else {
                throw nonFinite
            }
            try modelOperation { () throws(ModelFileError) in
                try writer.add(
                    entry.name, channels: channels, depth: depth, values: packed.values, scales: packed.scales,
                    columnSums: packed.columnSums)
            }
            shape = [channels, depth]
            let scales = packed.scales.prefix(channels)
            loss = TensorReport.Quantisation(
                scales: (scales.min() ?? 0)...(scales.max() ?? 0), relativeError: packed.relativeError,
                worstChannel: packed.worstChannel, worstError: packed.worstChannelError)
        case .matrix(let channels, let depth), .headMatrix(let channels, let depth):
            guard let packed = Kernels.packFloat32(weights, channels: channels, depth: depth, threads: options.threads)
            else { throw nonFinite }
            try modelOperation { () throws(ModelFileError) in
                try writer.add(entry.name, channels: channels, depth: depth, values: packed)
            }
            shape = [channels, depth]
        }
        return TensorReport(
            name: entry.name, source: source, type: loss == nil ? "float32" : "int8", shape: shape,
            quantisation: loss)
    }

    /// Weights of the checkpoint that no part of the model takes.
    private func unusedNames() -> [String] {
        let used = Set(layout.entries.map(\.name))
        return index.weights.filter { !used.contains($0.key) }.map(\.value.name).sorted()
    }
}

/// Runs something that fails as model files fail.
func modelOperation<Result>(_ body: () throws(ModelFileError) -> Result) throws(ExportError) -> Result {
    do { return try body() } catch { throw .modelFile(error) }
}
