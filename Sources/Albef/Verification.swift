import AlbefFiles
import AlbefImage

/// How this runtime compares with golden fixtures on this machine: closeness to PyTorch, and exact bytes.
public struct Verification: Sendable {
    /// One check over all cases.
    public struct Row: Sendable {
        public let check: GoldenBounds.Check
        /// Cases that have the stage.
        public let cases: Int
        /// The aggregate of the measure.
        public let figure: Double
        /// What identifies the stage's bytes over all cases, in hex.
        public let digest: String
        public var passed: Bool { figure <= check.limit }
    }

    /// In the order of the stages.
    public let rows: [Row]
    /// Tensors whose recorded digest is that of this run.
    public let equal: Int
    /// Names (`case/tensor`) of tensors whose recorded digest differs.
    public let different: [String]
    /// Tensors of which nothing is recorded for this model and revision.
    public let notRecorded: Int
    /// This run's digests by `case/tensor`.
    public let digests: [String: String]

    /// True if no bound is broken and no recorded digest differs.
    public var passed: Bool { different.isEmpty && rows.allSatisfy(\.passed) }
}

extension Session {
    /// Runs every golden case and compares each stage.
    ///
    /// Where the pixels of a decoded picture differ (another JPEG library), that is reported as stage `pixels_u8`, and the
    /// later stages start from the fixture's pixels, so that they still tell about this runtime.
    ///
    /// - Parameter progress: Called before each case with its place and the number of cases.
    public func verify(
        _ golden: GoldenSet, recorded: RecordedDigests, progress: (Int, Int) -> Void = { _, _ in }
    ) throws -> Verification {
        let checks = GoldenBounds.checks(for: model.file.precision)
        var values = [[Double]](repeating: [], count: checks.count)
        var cases = [Int](repeating: 0, count: checks.count)
        var digests: [String: String] = [:]
        var stageSums: [String: SHA256] = [:]
        var equal = 0, notRecorded = 0
        var different: [String] = []
        for (number, example) in golden.cases.enumerated() {
            progress(number, golden.cases.count)
            let own = try tensors(of: example, golden)
            for name in example.tensors {
                guard let tensor = own[name] else {
                    throw AlbefError.conflictingInputs(
                        "case '\(example.name)': the model gives no '\(name)'; these fixtures belong to another model")
                }
                let key = example.name + "/" + name
                let digest = tensor.digest
                digests[key] = digest
                stageSums[name, default: SHA256()].update(Array(digest.utf8))
                switch recorded.sum(key, model: model.file.digest) {
                case nil: notRecorded += 1
                case digest: equal += 1
                default: different.append(key)
                }
                let truth = try golden.tensor(name, of: example)
                for (index, check) in checks.enumerated() where check.stage == name {
                    var companion: (own: Trace.Tensor, golden: Trace.Tensor)?
                    if check.measure == .answerScore, let ids = own["vqa_answer_ids"] {
                        companion = (ids, try golden.tensor("vqa_answer_ids", of: example))
                    }
                    values[index] += check.measure.values(tensor, truth, companion: companion)
                    cases[index] += 1
                }
            }
        }
        let sums = stageSums.mapValues { hexadecimal($0.finalize()) }
        let rows = checks.indices.filter { cases[$0] > 0 }.map { index in
            Verification.Row(
                check: checks[index], cases: cases[index], figure: checks[index].aggregate.figure(values[index]),
                digest: sums[checks[index].stage] ?? "")
        }
        return Verification(
            rows: rows, equal: equal, different: different, notRecorded: notRecorded, digests: digests)
    }

    /// This runtime's tensors for a case, by name.
    private func tensors(of example: GoldenSet.Case, _ golden: GoldenSet) throws -> [String: Trace.Tensor] {
        let bytes = try readFile(example.image, limit: 1 << 30)
        let sum = SHA256.hex(of: bytes)
        guard sum == example.imageSum else {
            throw FileError.malformed(path: example.image, field: "SHA-256", found: sum, expected: example.imageSum)
        }
        let image = try prepare(decodePicture(bytes, path: example.image))
        var used = image
        if example.tensors.contains("pixels_u8"), case .uint8(let pixels) = try golden.tensor("pixels_u8", of: example).values,
            pixels != image.pixels
        {
            used = try PreparedImage(pixels: pixels, for: model)
        }
        let trace = try trace(
            TraceRequest(
                image: used, caption: example.text.map { try model.prepare($0, for: .caption) },
                question: example.question.map { try model.prepare($0, for: .question) }))
        var tensors = Dictionary(trace.tensors.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
        let size = model.configuration.imageSize
        tensors["pixels_u8"] = Trace.Tensor(name: "pixels_u8", shape: [size, size, 3], values: .uint8(image.pixels))
        return tensors
    }
}
