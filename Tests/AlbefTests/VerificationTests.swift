import AlbefFiles
import AlbefModelFile
import AlbefTestSupport
import Testing

@testable import Albef

@Suite("Golden comparison")
struct GoldenComparisonTests {
    private func tensor(_ values: [Float], _ shape: [Int]? = nil) -> Trace.Tensor {
        Trace.Tensor(name: "t", shape: shape ?? [values.count], values: .float32(values))
    }

    private func figure(_ measure: GoldenBounds.Measure, _ own: Trace.Tensor, _ golden: Trace.Tensor) -> Double {
        GoldenBounds.Aggregate.worst.figure(measure.values(own, golden, companion: nil))
    }

    @Test(
        "equal tensors are at distance 0 by every measure, and one changed value is seen by each",
        arguments: [
            GoldenBounds.Measure.different, .absolute, .relative, .cosineLoss, .rowCosineLoss, .correlationLoss, .firstAnswer,
        ])
    func seesOneChange(measure: GoldenBounds.Measure) {
        let values: [Float] = [0.5, -1, 2, 3, 0.25, 7, -4, 1]
        let golden = tensor(values, [2, 2, 2])
        #expect(abs(figure(measure, golden, golden)) < 1e-12)
        var changed = values
        changed[0] = 0.75
        #expect(figure(measure, tensor(changed, [2, 2, 2]), golden) > 1e-4)
    }

    @Test("a NaN or another shape never passes")
    func neverPasses() {
        let golden = tensor([1, 2, 3])
        #expect(figure(.absolute, tensor([1, .nan, 3]), golden) == .infinity)
        #expect(figure(.cosineLoss, tensor([1, 2, 3, 4]), golden) == .infinity)
        #expect(figure(.different, tensor([1, 2, 3], [3, 1]), golden) == .infinity)
    }

    @Test("match probabilities are compared after the softmax")
    func probabilities() {
        #expect(figure(.probability, tensor([5, 5]), tensor([-3, -3])) < 1e-7)
        #expect(abs(figure(.probability, tensor([0, 0]), tensor([0, 100])) - 0.5) < 1e-6)
    }

    @Test("answer scores are matched by answer")
    func answerScores() {
        func ids(_ values: [Int32]) -> Trace.Tensor { Trace.Tensor(name: "i", shape: [values.count], values: .int32(values)) }
        let pair = (own: ids([4, 2, 9]), golden: ids([2, 4, 7]))
        let values = GoldenBounds.Measure.answerScore.values(
            tensor([-1, -2, -3]), tensor([-2.5, -1, -8]), companion: pair)
        #expect(values == [0.5])
    }

    @Test("the 95 % figure is what 95 of 100 cases do not exceed")
    func percentile() {
        #expect(GoldenBounds.Aggregate.percentile95.figure((1...100).map(Double.init)) == 95)
        #expect(GoldenBounds.Aggregate.percentile95.figure([3]) == 3)
        #expect(GoldenBounds.Aggregate.mean.figure([1, 2, 6]) == 3)
    }

    @Test("every stage has a bound in both precisions", arguments: Precision.allCases)
    func everyStage(precision: Precision) {
        let stages = Set(GoldenBounds.checks(for: precision).map(\.stage))
        let expected: Set<String> = [
            "pixels_u8", "pixels", "input_ids", "image_tokens", "image_feature", "text_tokens", "text_feature",
            "fusion_tokens", "itm_logits", "mlm_logits", "gradcam", "vqa_first_logits", "vqa_answer_ids", "pixels_u8_left",
            "pixels_u8_right", "pixels_left", "pixels_right", "image_tokens_left", "image_tokens_right", "entailment_logits",
            "nlvr_logits",
        ]
        #expect(stages.isSuperset(of: expected))
    }
}

@Suite("Recorded digests")
struct RecordedDigestTests {
    @Test("digests are kept by model and revision, and those of other models stay")
    func keepsOthers() throws {
        let folder = try TemporaryFolder()
        let path = folder.path + "/exact.json"
        var digests = try RecordedDigests(path: path)
        #expect(digests.sum("a/b", model: "m1") == nil, "a missing file records nothing")
        digests.record(["a/b": "1"], model: "m1")
        try digests.write(to: path)
        var again = try RecordedDigests(path: path)
        again.record(["a/b": "2"], model: "m2")
        try again.write(to: path)
        let both = try RecordedDigests(path: path)
        #expect(both.sum("a/b", model: "m1") == "1" && both.sum("a/b", model: "m2") == "2")
        #expect(both.sum("a/c", model: "m1") == nil)
    }
}

@Suite("Golden fixtures from strangers")
struct GoldenSetTests {
    @Test(
        "a malformed manifest is an error that names the field",
        arguments: [
            (#"{"format": 2}"#, "format"),
            (#"{"format": 1, "checkpoint_sha256": "x", "cases": []}"#, "cases"),
            (
                #"{"format": 1, "checkpoint_sha256": "x", "cases": [{"name": "a", "image": "../../etc/passwd", "image_sha256": "", "text": "t", "tensors": ["p"]}]}"#,
                "image"
            ),
            (
                #"{"format": 1, "checkpoint_sha256": "x", "cases": [{"name": "a", "images": ["l", "../r"], "images_sha256": ["", ""], "text": "t", "tensors": ["p"]}]}"#,
                "cases[0].images"
            ),
            (
                #"{"format": 1, "checkpoint_sha256": "x", "cases": [{"name": "a", "images": ["l"], "images_sha256": ["", ""], "text": "t", "tensors": ["p"]}]}"#,
                "cases[0].images"
            ),
            (
                #"{"format": 1, "checkpoint_sha256": "x", "cases": [{"name": "a", "images": ["l", "r"], "images_sha256": "s", "text": "t", "tensors": ["p"]}]}"#,
                "cases[0].images_sha256"
            ),
            (#"{"format": 1, "checkpoint_sha256": "x", "cases": [{"name": "a"}]}"#, "cases[0]"),
            (
                #"{"format": 1, "checkpoint_sha256": "x", "cases": [{"name": "a", "text": "t", "masked_text": "[MASK]"}]}"#,
                "cases[0]"
            ),
        ])
    func malformed(text: String, field: String) throws {
        let folder = try TemporaryFolder()
        try writeAtomically(Array(text.utf8), to: folder.path + "/manifest.json")
        let error = #expect(throws: FileError.self) { try GoldenSet(folder: folder.path) }
        #expect(error?.description.contains(field) == true, "\(error?.description ?? "")")
    }

    @Test("a folder without a manifest is missing input")
    func missing() throws {
        let folder = try TemporaryFolder()
        let error = #expect(throws: FileError.self) { try GoldenSet(folder: folder.path) }
        #expect(error?.kind == .missingInput)
    }
}

@Suite("Comparison of settings")
struct SettingComparisonTests {
    @Test("dealt cases: every number of threads has its quarter, and every case four numbers", arguments: [30, 60, 110, 31, 16])
    func dealtCases(count: Int) {
        var threads = [[Int]](repeating: [], count: count)
        for number in SettingComparison.threadCounts {
            let cases = SettingComparison.cases(of: count, threads: number, dealt: true)
            #expect(cases.count >= count / 4 && cases.count <= count / 4 + 1)
            for index in cases { threads[index].append(number) }
            #expect(SettingComparison.cases(of: count, threads: number, dealt: false) == Array(0..<count))
        }
        #expect(threads.allSatisfy { $0.count == 4 })
        // Even and odd cases are of different kinds: every number of threads has both.
        for number in SettingComparison.threadCounts {
            #expect(Set(threads.indices.filter { threads[$0].contains(number) }.map { $0 % 2 }) == [0, 1])
        }
    }
}
