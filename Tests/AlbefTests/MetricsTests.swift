import AlbefFiles
import AlbefTestSupport
import Testing

@testable import Albef

@Suite("Metrics")
struct MetricsTests {
    @Test(
        "an answer that n of ten people gave counts min(1, n/3), averaged over the leave-one-out subsets",
        arguments: [(0, 0.0), (1, 0.3), (2, 0.6), (3, 0.9), (4, 1.0), (10, 1.0)])
    func accuracy(matches: Int, expected: Double) {
        let given = Array(repeating: "red", count: matches) + Array(repeating: "blue", count: 10 - matches)
        #expect(abs(VQAAccuracy.accuracy(of: "red", given: given) - expected) < 1e-12)
    }

    @Test("one given answer stands for all, and none is never right")
    func fewAnswers() {
        #expect(VQAAccuracy.accuracy(of: "Red", given: ["red"]) == 1)
        #expect(VQAAccuracy.accuracy(of: "red", given: []) == 0)
    }

    @Test(
        "answers are compared without case, articles, number words and punctuation",
        arguments: [
            ("The Dog", "dog"), ("two", "2"), ("none", "0"), ("dont", "don't"), ("a black-and-white cat", "black and white cat"),
            ("1,000", "1000"), ("11:10", "11:10"), ("yes.", "yes"), ("3.5", "3.5"), ("what?!", "what"), ("tab\there", "tab here"),
        ])
    func normalization(raw: String, expected: String) {
        #expect(VQAAccuracy.normalized(raw) == expected)
    }

    @Test("recall counts ranks below k in percent, both ways")
    func recall() {
        let metrics = RetrievalMetrics(imageRanks: [0, 4, 9, 10], textRanks: [0, 0, 1, 7])
        #expect(metrics.textRecall == [25, 50, 75])
        #expect(metrics.imageRecall == [50, 75, 100])
        #expect(metrics.mean == 62.5)
    }

    @Test("boxes overlap on inclusive pixels")
    func overlap() {
        #expect(Box.overlap([0, 0, 10, 10], [0, 0, 10, 10]) == 1)
        #expect(Box.overlap([0, 0, 10, 10], [9, 9, 10, 10]) == 0)
        #expect(abs(Box.overlap([0, 0, 10, 10], [5, 0, 10, 10]) - 50.0 / 150) < 1e-12)
    }

    @Test("a peak is the first greatest value, inside where its pixel lies in the box")
    func peak() {
        let map: [Float] = [0, 1, 0, 0, 1, 0]
        #expect(Box.contains([1, 0, 1, 1], peakOf: map, width: 3))
        #expect(!Box.contains([0, 0, 1, 2], peakOf: map, width: 3))
    }

    @Test(
        "a control group's quota is rounded up to whole processors",
        arguments: [
            ("150000 100000\n", 2), ("100000 100000", 1), ("50000 100000", 1), ("max 100000", nil), ("", nil), ("0 1", nil),
        ] as [(String, Int?)])
    func quota(text: String, expected: Int?) {
        #expect(ThreadBudget.parseCPUMax(text) == expected)
        #expect(ThreadBudget.available() >= 1)
    }

    @Test("a control group is looked up in all its parents")
    func ancestors() {
        #expect(ThreadBudget.ancestors(of: "/a/b") == ["/a/b", "/a", "/"])
        #expect(ThreadBudget.ancestors(of: "/") == ["/"])
    }
}

@Suite("Dataset files")
struct AnnotationTests {
    private func read(_ text: String) throws -> Annotations {
        let folder = try TemporaryFolder()
        let path = folder.path + "/a.json"
        try writeAtomically(Array(text.utf8), to: path)
        return try Annotations(path: path)
    }

    @Test("the keys of the first record tell the task")
    func forms() throws {
        let asked = try read(#"[{"image": "a.jpg", "question": "what?", "question_id": 7, "answer": ["x", "y"], "kind": "k"}]"#)
        guard case .questions(let questions) = asked else { throw WrongForm() }
        #expect(questions[0].answers == ["x", "y"] && questions[0].questionID.int == 7 && questions[0].kind == "k")
        guard case .retrieval(let captioned) = try read(#"[{"image": "a.jpg", "caption": "one"}]"#) else { throw WrongForm() }
        #expect(captioned[0].captions == ["one"])
        let referred = try read(#"[{"image": "a.jpg", "text": "the dog", "bbox": [1, 2, 3.5, 4]}]"#)
        guard case .grounding(let expressions) = referred else { throw WrongForm() }
        #expect(expressions[0].box == [1, 2, 3.5, 4])
        #expect(referred.count == 1)
    }

    @Test(
        "a malformed record is an error that names it",
        arguments: [
            ("{}", "content"), ("[]", "content"), (#"[{"image": "a"}]"#, "record 0"),
            (#"[{"image": "a", "caption": "x"}, {"caption": "y"}]"#, "record 1.image"),
            (#"[{"image": "a", "caption": 3}]"#, "record 0.caption"),
            (#"[{"image": "a", "text": "x", "bbox": [1, 2]}]"#, "record 0.bbox"),
            (#"[{"image": "a", "question": 5}]"#, "record 0.question"),
        ])
    func malformed(text: String, field: String) throws {
        let error = #expect(throws: FileError.self) { try read(text) }
        #expect(error?.kind == .badData)
        #expect(error?.description.contains(field) == true, "\(error?.description ?? "")")
    }

    private struct WrongForm: Error {}
}
