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

extension Session.TraceRequest {
    /// What a golden case asks.
    ///
    /// - Parameter images: The case's pictures.
    public init(_ example: GoldenSet.Case, images: [PreparedImage], model: Model, blocks: Bool = false) throws(AlbefError) {
        let text = try model.prepare(example.text, for: example.purpose)
        let isQuestion = example.purpose == .question
        self.init(
            image: images.first, right: images.dropFirst().first, caption: isQuestion ? nil : text,
            question: isQuestion ? text : nil, blocks: blocks)
    }
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

    /// The digests of every tensor of every golden case, by `case/tensor`, without a comparison with the golden ones.
    public func digests(of golden: GoldenSet) throws -> [String: String] {
        var result: [String: String] = [:]
        for example in golden.cases {
            let own = try tensors(of: example, golden)
            for name in example.tensors { result[example.name + "/" + name] = own[name]?.digest }
        }
        return result
    }

    /// This runtime's tensors for a case, by name.
    func tensors(of example: GoldenSet.Case, _ golden: GoldenSet) throws -> [String: Trace.Tensor] {
        var used: [PreparedImage] = []
        var own: [Trace.Tensor] = []
        let size = model.configuration.imageSize
        for (file, side) in zip(example.pictures, example.pictures.count == 1 ? [""] : ["_left", "_right"]) {
            let image = try prepare(decodePicture(bytes(of: file), path: file.path))
            let name = "pixels_u8" + side
            own.append(Trace.Tensor(name: name, shape: [size, size, 3], values: .uint8(image.pixels)))
            if example.tensors.contains(name), case .uint8(let pixels) = try golden.tensor(name, of: example).values,
                pixels != image.pixels
            {
                used.append(try PreparedImage(pixels: pixels, for: model))
            } else {
                used.append(image)
            }
        }
        let trace = try trace(TraceRequest(example, images: used, model: model))
        return Dictionary((own + trace.tensors).map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
    }

    /// The content of a golden picture, whose sum must be right.
    private func bytes(of file: GoldenSet.PictureFile) throws(FileError) -> [UInt8] {
        let bytes = try readFile(file.path, limit: 1 << 30)
        let sum = SHA256.hex(of: bytes)
        guard sum == file.sum else {
            throw .malformed(path: file.path, field: "SHA-256", found: sum, expected: file.sum)
        }
        return bytes
    }
}
