import AlbefFiles
import AlbefImage

/// A task's official metrics over a dataset.
public struct Evaluation: Sendable {
    /// One figure.
    public struct Metric: Sendable, Equatable {
        /// Such as `txt_r1`.
        public let name: String
        /// In percent.
        public let value: Double
    }

    /// `retrieval`, `vqa` or `grounding`.
    public let task: String
    /// Records evaluated.
    public let cases: Int
    public let metrics: [Metric]
    /// One entry a record: for VQA what the evaluation server reads, question ids and answers; for retrieval the ranks; for
    /// grounding the best-ranked proposal.
    public let results: JSONValue

    /// The figure of a name.
    public subscript(name: String) -> Double? { metrics.first { $0.name == name }?.value }
}

/// Evaluates a session's model; one pass over the annotations, pictures read as they are needed.
public struct Evaluator {
    let session: Session
    /// The folder that pictures' paths start from.
    let root: String
    /// Pixels of a picture at most.
    let maxPixels: Int
    /// Called with what is done and what there is to do.
    let progress: (Int, Int) -> Void

    public init(
        session: Session, root: String, maxPixels: Int = defaultMaximumPixels,
        progress: @escaping (Int, Int) -> Void = { _, _ in }
    ) {
        self.session = session
        self.root = root
        self.maxPixels = maxPixels
        self.progress = progress
    }

    /// Decodes a picture of the dataset.
    func picture(_ path: String) throws -> Picture { try decodePicture(path: root + "/" + path, maxPixels: maxPixels) }

    /// Answers every question; accuracy is that of ``VQAAccuracy``, in all and for each `kind`, over the questions that
    /// people answered. Where nobody did, as in the official test split, there are results but no metrics.
    public func questions(_ records: [Annotations.Asked], candidates: AnswerList) throws -> Evaluation {
        var total = (sum: 0.0, count: 0)
        var kinds: [String: (sum: Double, count: Int)] = [:]
        var results: [JSONValue] = []
        var last: (path: String, image: EncodedImage)?
        for (index, record) in records.enumerated() {
            progress(index, records.count)
            let image: EncodedImage
            if let last, last.path == record.image {
                image = last.image
            } else {
                image = try session.encode(picture(record.image))
                last = (record.image, image)
            }
            let question = try session.encode(session.model.prepare(record.question, for: .question))
            let answer = try session.answer(image, question, candidates).first?.answer ?? ""
            results.append(["question_id": record.questionID, "answer": .string(answer)])
            if record.answers.isEmpty { continue }
            let accuracy = VQAAccuracy.accuracy(of: answer, given: record.answers)
            total.sum += accuracy
            total.count += 1
            if let kind = record.kind {
                kinds[kind, default: (0, 0)].sum += accuracy
                kinds[kind, default: (0, 0)].count += 1
            }
        }
        let groups = [("accuracy", total)] + kinds.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
        let metrics = groups.filter { $0.1.count > 0 }.map { name, group in
            Evaluation.Metric(name: name, value: 100 * group.sum / Double(group.count))
        }
        return Evaluation(task: "vqa", cases: records.count, metrics: metrics, results: .array(results))
    }

    /// Finds every expression's object: the share whose heatmap peaks inside of its box, and with proposals the share whose
    /// best-ranked proposal overlaps the box by at least a half.
    ///
    /// - Parameters:
    ///   - proposals: By a picture's path; nil without any.
    ///   - mode: Which score's heatmap is taken.
    ///   - layer: Cross-attention layer or, in mode `itc`, block of the image encoder; nil for the model's own.
    public func grounding(
        _ records: [Annotations.Referred], proposals: ((String) throws -> [[Double]])? = nil, mode: GroundingMode = .itm,
        layer: Int? = nil
    ) throws -> Evaluation {
        var peaks = 0, hits = 0
        var results: [JSONValue] = []
        var last: (path: String, picture: Picture, heatmap: (EncodedText) throws -> Heatmap)?
        for (index, record) in records.enumerated() {
            progress(index, records.count)
            if last?.path != record.image {
                let picture = try picture(record.image)
                last = (record.image, picture, try heatmaps(of: picture, mode: mode, layer: layer))
            }
            guard let (_, picture, find) = last else { continue }
            let heatmap = try find(session.encode(session.model.prepare(record.text, for: .caption)))
            let size = (width: picture.width, height: picture.height)
            let map = heatmap.upsampled(width: size.width, height: size.height, kernels: session.kernels)
            if Box.contains(record.box, peakOf: map, width: size.width) { peaks += 1 }
            var best: JSONValue = .null
            if let proposals {
                let ranked = heatmap.ranked(
                    try proposals(record.image), width: size.width, height: size.height, kernels: session.kernels)
                if let first = ranked.first {
                    if Box.overlap(first.box, record.box) >= 0.5 { hits += 1 }
                    best = .array(first.box.map { JSONValue($0) })
                }
            }
            results.append([
                "image": .string(record.image), "ref_id": record.reference, "text": .string(record.text), "box": best,
            ])
        }
        let all = Double(max(1, records.count))
        var metrics = [Evaluation.Metric(name: "peak_in_box", value: 100 * Double(peaks) / all)]
        if proposals != nil { metrics.append(Evaluation.Metric(name: "box_accuracy", value: 100 * Double(hits) / all)) }
        return Evaluation(task: "grounding", cases: records.count, metrics: metrics, results: .array(results))
    }

    /// Gives the heatmap of any text on a picture; what texts share is computed once.
    private func heatmaps(of picture: Picture, mode: GroundingMode, layer: Int?) throws -> (EncodedText) throws -> Heatmap {
        switch mode {
        case .itm:
            let image = try session.encode(picture)
            return { try session.ground(image, $0, layer: layer).heatmap }
        case .itc:
            let image = try session.prepare(picture)
            return { try session.groundByFeature(image, $0, block: layer).heatmap }
        }
    }
}

/// Geometry of boxes `[x, y, width, height]` as the official grounding evaluation has it.
public enum Box {
    /// Intersection over union on inclusive pixels: a box reaches to `x + width - 1`; an intersection of no extent is empty.
    public static func overlap(_ a: [Double], _ b: [Double]) -> Double {
        let left = max(a[0], b[0]), top = max(a[1], b[1])
        let right = min(a[0] + a[2] - 1, b[0] + b[2] - 1), bottom = min(a[1] + a[3] - 1, b[1] + b[3] - 1)
        let inside = left < right && top < bottom ? (right - left + 1) * (bottom - top + 1) : 0
        return inside / (a[2] * a[3] + b[2] * b[3] - inside)
    }

    /// Whether the greatest value of a map (the first in row order) lies inside of a box.
    static func contains(_ box: [Double], peakOf map: [Float], width: Int) -> Bool {
        guard let top = map.max(), let place = map.firstIndex(of: top) else { return false }
        let x = Double(place % width), y = Double(place / width)
        return box[0] <= x && x < box[0] + box[2] && box[1] <= y && y < box[1] + box[3]
    }
}
