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
    private let kernels: Kernels

    /// Prepares the cases that can be read and runs the float model on them.
    ///
    /// - Throws: ``ExportError/calibration(path:reason:)`` if no case can be used.
    init(_ folder: CalibrationFolder, _ float: ModelFile, _ kernels: Kernels, recorder: LinearInputRecorder)
        throws(ExportError)
    {
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
        (self.requests, self.reference, self.skipped) = (requests, reference, skipped)
    }

    /// Cases that are used.
    var count: Int { requests.count }

    /// How far a model is from the float model.
    ///
    /// - Parameter limit: Cases that are run at most, spread over all.
    func deviations(of file: ModelFile, cases limit: Int = .max) throws(ExportError) -> [Deviation] {
        let session = try CalibrationBench.session(file, kernels)
        let number = min(limit, count)
        let chosen = (0..<number).map { $0 * count / number }
        var traces: [Trace] = []
        for index in chosen {
            do throws(AlbefError) { traces.append(CalibrationBench.stages(of: try session.trace(requests[index]))) } catch {
                throw .model(kind: error.kind, message: error.description)
            }
        }
        return GoldenBounds.deviations(of: traces, from: chosen.map { reference[$0] }, precision: .int8)
    }

    private static func session(_ file: ModelFile, _ kernels: Kernels) throws(ExportError) -> Session {
        do throws(AlbefError) { return try Session(model: Model(file), kernels: kernels) } catch {
            throw .model(kind: error.kind, message: error.description)
        }
    }

    private static func request(_ example: CalibrationFolder.Case, _ session: Session) throws -> Session.TraceRequest {
        let model = session.model
        let asks = example.isQuestion && model.heads.contains(.answering)
        let text = try example.text.map { try model.prepare($0, for: asks ? .question : .caption) }
        return Session.TraceRequest(
            image: try session.prepare(decodePicture(path: example.images[0])), caption: asks ? nil : text,
            question: asks ? text : nil)
    }

    /// The stages that have bounds; the others, of which pixels are large, need not be kept.
    private static func stages(of trace: Trace) -> Trace {
        let bounded = Set(GoldenBounds.checks(for: .int8).filter { $0.limit > 0 }.map(\.stage))
        return Trace(tensors: trace.tensors.filter { bounded.contains($0.name) }, metadata: [:])
    }
}

extension [Deviation] {
    /// The one that comes nearest to its limit, or breaks it most; the first of equal ones.
    var worst: Deviation? { self.max { $0.share < $1.share } }
    /// The share of its limit that the worst one takes.
    var worstShare: Double { worst?.share ?? 0 }
}
