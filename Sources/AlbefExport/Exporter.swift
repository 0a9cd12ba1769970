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

    private let options: ExportOptions
    private let index: WeightIndex
    private let heads: Set<ModelHead>
    private let configuration: ModelConfiguration
    private let layout: ModelLayout
    private let task: ModelTask
    private let vocabulary: [String]
    private let answers: [String]?

    /// Exports, and says what was done.
    ///
    /// - Throws: ``ExportError``; nothing is left behind then, and a file that stood at the output stands there still.
    public static func run(_ options: ExportOptions) throws(ExportError) -> ExportReport {
        try Exporter(options).write()
    }

    /// Reads everything but the weights, and checks that all of them are there and have the right shapes.
    private init(_ options: ExportOptions) throws(ExportError) {
        self.options = options
        let inputs = [options.checkpoint, options.configuration, options.vocabulary, options.answers]
        if inputs.contains(options.output) { throw .outputIsInput(path: options.output) }
        let checkpoint = try openCheckpoint(options.checkpoint)
        var index = try WeightIndex(checkpoint)
        try index.mergeSharedTensors()
        self.index = index
        let inference = try ConfigurationInference(index)
        heads = inference.heads
        configuration = try ConfigurationResolution.resolve(
            inference, try ConfigurationSource.all(path: options.configuration, checkpoint: checkpoint),
            path: options.checkpoint)
        layout = ModelLayout(configuration, heads: heads)
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

    private func write() throws(ExportError) -> ExportReport {
        let checkpoint = index.checkpoint
        let (digest, size) = try fileOperation { () throws(FileError) in
            (try SHA256.hex(ofFile: checkpoint.path), try MappedFile(path: checkpoint.path).byteCount)
        }
        var reports: [TensorReport] = []
        let writer = try modelOperation { () throws(ModelFileError) in
            try ModelFileWriter(
                path: options.output, configuration: configuration, precision: options.precision, task: task,
                vocabulary: vocabulary, answers: answers)
        }
        for entry in layout.entries { reports.append(try add(entry, to: writer)) }
        var report = ExportReport(
            modelPath: options.output, checkpointPath: checkpoint.path, checkpointByteCount: size,
            checkpointDigest: digest, checkpointFormat: checkpoint.format, task: task, precision: options.precision,
            configuration: configuration, heads: ModelHead.allCases.filter(heads.contains).map(\.rawValue),
            answerCount: answers?.count, tensors: reports, twins: index.twins, queues: index.queues,
            positionIDs: index.positionIDs, tied: index.tied, unused: unusedNames())
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

    /// Reads, checks and packs one weight.
    private func add(_ entry: LayoutEntry, to writer: ModelFileWriter) throws(ExportError) -> TensorReport {
        guard let tensor = index[entry.name] else {
            throw .missingTensors(path: index.checkpoint.path, names: [entry.name])
        }
        let weights = try index.checkpoint.floats(tensor.name)
        let nonFinite = ExportError.nonFinite(path: index.checkpoint.path, tensor: tensor.name)
        let shape: [Int]
        var loss: TensorReport.Quantisation?
        switch entry.form {
        case .plain(let plain):
            guard weights.allSatisfy(\.isFinite) else { throw nonFinite }
            try modelOperation { () throws(ModelFileError) in try writer.add(entry.name, weights, shape: plain) }
            shape = plain
        case .matrix(let channels, let depth) where options.precision == .int8:
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
            name: entry.name, source: tensor.name, type: loss == nil ? "float32" : "int8", shape: shape,
            quantisation: loss)
    }

    /// Weights of the checkpoint that no part of the model takes.
    private func unusedNames() -> [String] {
        let used = Set(layout.entries.map(\.name))
        return index.weights.filter { !used.contains($0.key) }.map(\.value.name).sorted()
    }
}

/// Runs something that fails as model files fail.
private func modelOperation<Result>(_ body: () throws(ModelFileError) -> Result) throws(ExportError) -> Result {
    do { return try body() } catch { throw .modelFile(error) }
}
