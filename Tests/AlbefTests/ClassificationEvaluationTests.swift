import AlbefFiles
import AlbefImage
import AlbefTestSupport
import Testing

@testable import Albef

@Suite("Evaluation of entailment and reasoning")
struct ClassificationEvaluationTests {
    @Test("entailment counts right labels, with predictions as one by one")
    func entailment() throws {
        try withSession(ClassificationTask.entailment.tiny) { session in
            let pictures = try Pictures()
            let asked = [("a.png", "a red dog"), ("a.png", "two cats playing"), ("b.png", "blue tree"), ("a.png", "no tree")]
            let labels = try asked.map { name, text in
                try session.entail(
                    session.encode(decodePicture(path: pictures.folder.file(name))), session.tinyText(text, .caption)
                ).label
            }
            // The last record has another label than the model's.
            let wrong = labels[3] == "neutral" ? "entailment" : "neutral"
            let text = zip(asked, labels.dropLast() + [wrong]).map {
                #"{"image": "\#($0.0)", "sentence": "\#($0.1)", "label": "\#($1)"\#($0.0 == "a.png" ? #", "kind": "b""# : "")}"#
            }
            guard case .entailment(let records) = try pictures.annotations("[\(text.joined(separator: ","))]") else {
                throw WrongForm()
            }
            let result = try Evaluator(session: session, root: pictures.folder.path).entailment(records)
            #expect(result.task == "entailment" && result.cases == 4)
            #expect(result.metrics.map(\.name) == ["accuracy", "b"] && result["accuracy"] == 75)
            #expect(abs((result["b"] ?? -1) - 200.0 / 3) < 1e-9)
            #expect(
                result.results
                    == .array(
                        zip(asked, labels).map {
                            ["image": .string($0.0), "sentence": .string($0.1), "prediction": .string($1)]
                        }))
        }
    }

    @Test("reasoning counts rightly called sentences, whose pictures have an order")
    func reasoning() throws {
        try withSession(ClassificationTask.reasoning.tiny) { session in
            let pictures = try Pictures()
            let asked = [
                ("a.png", "b.png", "a red dog"), ("a.png", "b.png", "two cats"), ("b.png", "a.png", "a red dog"),
                ("c.png", "c.png", "blue"),
            ]
            let labels = try asked.map { left, right, text in
                try session.reason(
                    session.encode(decodePicture(path: pictures.folder.file(left))),
                    session.encode(decodePicture(path: pictures.folder.file(right))), session.tinyText(text, .caption)
                ).label == "true" ? "True" : "False"
            }
            let text = asked.indices.map { index in
                let (left, right, sentence) = asked[index]
                let label = index == 0 ? (labels[0] == "True" ? "False" : "True") : labels[index]
                return #"{"images": ["\#(left)", "\#(right)"], "sentence": "\#(sentence)", "label": "\#(label)"}"#
            }
            guard case .reasoning(let records) = try pictures.annotations("[\(text.joined(separator: ","))]") else {
                throw WrongForm()
            }
            let result = try Evaluator(session: session, root: pictures.folder.path).reasoning(records)
            #expect(result.task == "nlvr" && result.cases == 4 && result["accuracy"] == 75)
            #expect(result.results.array?.map { $0["prediction"]?.string } == labels)
            #expect(result.results.array?.last?["images"] == ["c.png", "c.png"])
        }
    }

    @Test("records of the same pictures are taken together wherever they stand, and the results keep the file's order")
    func groups() throws {
        try withSession(ClassificationTask.entailment.tiny) { session in
            let pictures = try Pictures()
            let sentences = ["a red dog", "two cats", "blue", "a tree on the left"]
            let records = (0..<210).map {
                Annotations.Entailed(
                    image: ["a.png", "b.png", "a.png"][$0 % 3], sentence: sentences[$0 % 4], label: "neutral", kind: nil)
            }
            var progress: [Int] = []
            let evaluator = Evaluator(session: session, root: pictures.folder.path) { done, _ in progress.append(done) }
            let results = try evaluator.entailment(records).results.array ?? []
            #expect(results.count == 210 && progress == [0, 64, 128, 140, 204])
            for (index, result) in results.enumerated() {
                #expect(result == results[index % 12])
                #expect(result["image"]?.string == records[index].image)
                #expect(result["sentence"]?.string == records[index].sentence)
            }
            for index in 0..<12 {
                let alone = try evaluator.entailment([records[index]]).results.array
                #expect(alone?.first == results[index])
            }
        }
    }

    @Test("a bare id means a JPEG file, a name with an ending itself")
    func names() throws {
        let pictures = try Pictures()
        let names = ["4564320256", "x.JPG", "x.jpeg", "x.png", "x.jpg.bmp", "train/1.2"]
        let text = names.map { #"{"image": "\#($0)", "sentence": "a dog", "label": "neutral"}"# }
        guard case .entailment(let records) = try pictures.annotations("[\(text.joined(separator: ","))]") else {
            throw WrongForm()
        }
        #expect(records.map(\.image) == ["4564320256.jpg", "x.JPG", "x.jpeg", "x.png", "x.jpg.bmp.jpg", "train/1.2.jpg"])
    }

    @Test(
        "a malformed record is an error that names the record and its field",
        arguments: [
            (#"{"image": "a", "sentence": "dog", "label": "maybe"}"#, "record 1.label"),
            (#"{"image": "a", "sentence": "dog", "label": 2}"#, "record 1.label"),
            (#"{"image": "a", "sentence": "dog"}"#, "record 1.label"),
            (#"{"image": "a", "sentence": "?!", "label": "neutral"}"#, "record 1.sentence"),
            (#"{"image": "a", "sentence": "dog", "label": "neutral", "kind": 1}"#, "record 1.kind"),
            (#"{"image": 3, "sentence": "dog", "label": "neutral"}"#, "record 1.image"),
            (#"{"sentence": "dog", "label": "neutral"}"#, "record 1.image"),
            (#"{"images": ["a", "b"], "sentence": "dog", "label": "True"}"#, "record 1.image"),
            (#"7"#, "record 1.image"),
        ])
    func malformedEntailment(record: String, field: String) throws {
        try malformed(#"{"image": "a", "sentence": "dog", "label": "neutral"}"#, record, field)
    }

    @Test(
        "a malformed record of two pictures is an error that names the record and its field",
        arguments: [
            (#"{"images": ["a"], "sentence": "dog", "label": "True"}"#, "record 1.images"),
            (#"{"images": ["a", "b", "c"], "sentence": "dog", "label": "True"}"#, "record 1.images"),
            (#"{"images": ["a", 1], "sentence": "dog", "label": "True"}"#, "record 1.images"),
            (#"{"images": "a", "sentence": "dog", "label": "True"}"#, "record 1.images"),
            (#"{"image": "a", "sentence": "dog", "label": "True"}"#, "record 1.images"),
            (#"{"images": ["a", "b"], "sentence": "", "label": "True"}"#, "record 1.sentence"),
            (#"{"images": ["a", "b"], "label": "True"}"#, "record 1.sentence"),
            (#"{"images": ["a", "b"], "sentence": "dog", "label": "true"}"#, "record 1.label"),
            (#"{"images": ["a", "b"], "sentence": "dog", "label": true}"#, "record 1.label"),
        ])
    func malformedReasoning(record: String, field: String) throws {
        try malformed(#"{"images": ["a", "b"], "sentence": "dog", "label": "False"}"#, record, field)
    }

    private func malformed(_ good: String, _ bad: String, _ field: String) throws {
        let pictures = try Pictures()
        let error = #expect(throws: FileError.self) { try pictures.annotations("[\(good), \(bad)]") }
        #expect(error?.kind == .badData && error?.description.contains(field) == true, "\(error?.description ?? "")")
    }

    @Test("the head is asked for before any picture is read, and a missing picture is named")
    func order() throws {
        let folder = try TemporaryFolder()
        let entailed = [Annotations.Entailed(image: "gone.jpg", sentence: "a dog", label: "neutral", kind: nil)]
        let compared = [Annotations.Compared(left: "gone.jpg", right: "gone.jpg", sentence: "a dog", isTrue: true, kind: nil)]
        for task in ClassificationTask.allCases {
            try withSession(task.tiny) { session in
                let evaluator = Evaluator(session: session, root: folder.path)
                for (form, run) in [
                    (ClassificationTask.entailment, { try evaluator.entailment(entailed) }),
                    (.reasoning, { try evaluator.reasoning(compared) }),
                ] {
                    let error = failure(of: { _ = try run() }) as? any ClassifiedError
                    #expect(error?.kind == (form == task ? .missingInput : .badData))
                    #expect("\(error.map { "\($0)" } ?? "")".contains(form == task ? "gone.jpg" : "cls_head.2.weight"))
                }
            }
        }
    }
}
