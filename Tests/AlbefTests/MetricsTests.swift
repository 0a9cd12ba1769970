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
            ("couldnt've", "couldn't've"), ("couldn'tve", "couldn't've"), ("twas", "'twas"), ("lets", "lets"), ("Im", "im"),
            ("ten past 3", "10 past 3"), ("A", ""), ("", ""), ("red, blue", "red blue"), ("left/right", "left right"),
            ("ΟΔΟΣ", "οδος"), ("$5.00", "$5.00"), ("st. john", "st john"),
        ])
    func normalization(raw: String, expected: String) {
        #expect(VQAAccuracy.normalized(raw) == expected)
    }

    @Test("of ten answers those that agree after normalisation count together")
    func ten() {
        let given = ["two", "2", "Two", "the 2", "three", "3", "3.", "four", "a lot", "many"]
        #expect(VQAAccuracy.accuracy(of: "2", given: given) == 1)
        // Three matches: with one of them left out, two thirds; with another left out, one.
        #expect(abs(VQAAccuracy.accuracy(of: "three", given: given) - 0.9) < 1e-12)
        #expect(abs(VQAAccuracy.accuracy(of: "4", given: given) - 0.3) < 1e-12)
        #expect(VQAAccuracy.accuracy(of: "five", given: given) == 0)
    }

    @Test("recall counts ranks below k in percent, both ways")
    func recall() {
        let metrics = RetrievalMetrics(imageRanks: [0, 4, 9, 10], textRanks: [0, 0, 1, 7])
        #expect(metrics.textRecall == [25, 50, 75])
        #expect(metrics.imageRecall == [50, 75, 100])
        #expect(metrics.mean == 62.5 && metrics.textMean == 50 && metrics.imageMean == 75)
        #expect(RetrievalMetrics(imageRanks: [], textRanks: []).mean == 0)
    }

    @Test("boxes overlap on inclusive pixels")
    func overlap() {
        #expect(Box.overlap([0, 0, 10, 10], [0, 0, 10, 10]) == 1)
        #expect(Box.overlap([0, 0, 10, 10], [9, 9, 10, 10]) == 0)
        #expect(abs(Box.overlap([0, 0, 10, 10], [5, 0, 10, 10]) - 50.0 / 150) < 1e-12)
        #expect(Box.overlap([0, 0, 4, 4], [20, 20, 4, 4]) == 0)
        #expect(Box.overlap([2.5, 2.5, 5, 5], [0, 0, 10, 10]) == 0.25)
    }

    @Test("a peak is the first greatest value, inside where its pixel lies in the box")
    func peak() {
        let map: [Float] = [0, 1, 0, 0, 1, 0]
        #expect(Box.contains([1, 0, 1, 1], peakOf: map, width: 3))
        #expect(!Box.contains([0, 0, 1, 2], peakOf: map, width: 3))
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
            (#"[{"image": "a", "caption": []}]"#, "record 0.caption"),
            (#"[{"image": "a", "caption": ["x", 3]}]"#, "record 0.caption"),
            (#"[{"image": "a", "caption": ["x", "?!"]}]"#, "record 0.caption[1]"),
            (#"[{"image": 1, "caption": "x"}]"#, "record 0.image"),
            (#"[3]"#, "record 0"), (#"[{"image": "a", "caption": "x"}, 3]"#, "record 1.image"),
            (#"[{"image": "a", "text": "x", "bbox": [1, 2, 0, 4]}]"#, "record 0.bbox"),
            (#"[{"image": "a", "text": "x", "bbox": [1, 2, 3, 4, "5"]}]"#, "record 0.bbox"),
            (#"[{"image": "a", "text": "x", "bbox": [1, 2, 3, null]}]"#, "record 0.bbox"),
            (#"[{"image": "a", "text": "x"}]"#, "record 0.bbox"),
            (#"[{"image": "a", "text": "x", "ref_id": [], "bbox": [1, 2, 3, 4]}]"#, "record 0.ref_id"),
            (#"[{"image": "a", "text": " ", "bbox": [1, 2, 3, 4]}]"#, "record 0.text"),
            (#"[{"image": "a", "question": 5}]"#, "record 0.question"),
            (#"[{"image": "a", "question": "?", "question_id": 1}]"#, "record 0.question"),
            (#"[{"image": "a", "question": "x"}]"#, "record 0.question_id"),
            (#"[{"image": "a", "question": "x", "question_id": 1.5}]"#, "record 0.question_id"),
            (#"[{"image": "a", "question": "x", "question_id": 1, "answer": 5}]"#, "record 0.answer"),
            (#"[{"image": "a", "question": "x", "question_id": 1, "answer": []}]"#, "record 0.answer"),
            (#"[{"image": "a", "question": "x", "question_id": 1, "kind": 5}]"#, "record 0.kind"),
        ])
    func malformed(text: String, field: String) throws {
        let error = #expect(throws: FileError.self) { try read(text) }
        #expect(error?.kind == .badData)
        #expect(error?.description.contains(field) == true, "\(error?.description ?? "")")
        #expect(error?.description.contains("a.json") == true && error?.description.contains("\n") == false)
    }

    private struct WrongForm: Error {}
}
