import Albef
import AlbefImage
import AlbefKernels
import AlbefModelFile

/// Runs models on the calibration cases and compares them with the float model.
struct CalibrationBench: Sendable {
    /// What the float model gave for each case.
    let reference: [Trace]
    /// Cases that were left out, and why, a line each.
    let skipped: [String]
    private let requests: [Session.TraceRequest]
    /// The requests that each matrix is run on alone, with what the float model's image encoder makes of their pictures.
    private let ranking: [(index: Int, encoded: [EncodedImage])]
    private let kernels: Kernels

    /// Prepares the cases that can be read and runs the float model on them.
    ///
    /// - Parameter rankingLimit: Cases that each matrix is run on alone, at most, spread over all.
    /// - Throws: ``ExportError/calibration(path:reason:)`` if no case can be used.
    init(
        _ folder: CalibrationFolder, _ float: ModelFile, _ kernels: Kernels, recorder: LinearInputRecorder,
        rankingLimit: Int
    ) throws(ExportError) {
        self.kernels = kernels
        let session = try CalibrationBench.session(float, kernels)
        var requests: [Session.TraceRequest] = []
        var reference: [Trace] = []
        var skipped: [String] = []
        for example in folder.cases {
            do {
                let request = try CalibrationBench.request(example, session)
                reference.append(
                    CalibrationBench.stages(of: try session.trace(request, recordingInputsTo: recorder)))
                requests.append(request)
            } catch {
                skipped.append("\(error)")
            }
        }
        guard !requests.isEmpty else {
            throw .calibration(
                path: folder.path,
                reason: "none of its \(folder.cases.count) cases can be used; the first: \(skipped.first ?? "")")
        }
        let count = min(rankingLimit, requests.count)
        var ranking: [(index: Int, encoded: [EncodedImage])] = []
        for index in (0..<count).map({ $0 * requests.count / count }) {
            let pictures = [requests[index].image, requests[index].right].compactMap(\.self)
            ranking.append((index, try running { () throws(AlbefError) in try session.encodeAll(pictures) }))
        }
        (self.requests, self.reference, self.skipped, self.ranking) = (requests, reference, skipped, ranking)
    }

    /// Cases that are used.
    var count: Int { requests.count }

    /// How far a model is from the float model, over all cases.
    func deviations(of file: ModelFile) throws(ExportError) -> [Deviation] {
        let session = try CalibrationBench.session(file, kernels)
        let traces = try running { () throws(AlbefError) in
            var traces: [Trace] = []
            for request in requests { traces.append(CalibrationBench.stages(of: try session.trace(request))) }
            return traces
        }
        return GoldenBounds.deviations(of: traces, from: reference, precision: .int8)
    }

    /// How far a model is from the float model that differs from it in one matrix, over some cases.
    func deviations(of file: ModelFile, differingIn matrix: String) throws(ExportError) -> [Deviation] {
        let session = try CalibrationBench.session(file, kernels)
        // What comes before the matrix is as in the float model.
        let reusesImages = !matrix.hasPrefix("visual_encoder.")
        let traces = try running { () throws(AlbefError) in
            var traces: [Trace] = []
            for (index, encoded) in ranking {
                var request = requests[index]
                // They cost as much as all the rest, and follow what is measured already.
                request.heatmaps = false
                if reusesImages, request.caption != nil || request.question != nil { request.encoded = encoded }
                traces.append(CalibrationBench.stages(of: try session.trace(request)))
            }
            return traces
        }
        return GoldenBounds.deviations(of: traces, from: ranking.map { reference[$0.index] }, precision: .int8)
    }

    private static func session(_ file: ModelFile, _ kernels: Kernels) throws(ExportError) -> Session {
        try running { () throws(AlbefError) in try Session(model: Model(file), kernels: kernels) }
    }

    private static func request(_ example: CalibrationFolder.Case, _ session: Session) throws -> Session.TraceRequest {
        let model = session.model
        let asks = example.isQuestion && model.heads.contains(.answering)
        let text = try example.text.map { try model.prepare($0, for: asks ? .question : .caption) }
        var images: [PreparedImage] = []
        for path in example.images { images.append(try session.prepare(decodePicture(path: path))) }
        return Session.TraceRequest(
            image: images[0], right: model.heads.contains(.reasoning) ? images.dropFirst().first : nil,
            caption: asks ? nil : text, question: asks ? text : nil)
    }

    /// The stages that have bounds; the others, of which pixels are large, need not be kept.
    private static func stages(of trace: Trace) -> Trace {
        let bounded = Set(GoldenBounds.checks(for: .int8).filter { $0.limit > 0 }.map(\.stage))
        return Trace(tensors: trace.tensors.filter { bounded.contains($0.name) }, metadata: [:])
    }
}

/// Runs something that fails as models fail.
private func running<Result>(_ body: () throws(AlbefError) -> Result) throws(ExportError) -> Result {
    do { return try body() } catch { throw .model(kind: error.kind, message: error.description) }
}

extension Session {
    fileprivate func encodeAll(_ images: [PreparedImage]) throws(AlbefError) -> [EncodedImage] {
        var result: [EncodedImage] = []
        for image in images { result.append(try encode(image)) }
        return result
    }
}

extension [Deviation] {
    /// The one that comes nearest to its limit, or breaks it most; the first of equal ones.
    var worst: Deviation? { self.max { $0.share < $1.share } }
    /// The share of its limit that the worst one takes.
    var worstShare: Double { worst?.share ?? 0 }
}
