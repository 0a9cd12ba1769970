import Albef
import AlbefFiles
import ArgumentParser

/// Official metrics over official dataset files.
struct EvaluateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "evaluate", abstract: "A task's official metrics over a dataset's JSON, for every task.",
        discussion: """
            The records tell the task: with 'question' VQA, with 'caption' retrieval, with 'sentence' and 'image' visual \
            entailment, with 'sentence' and 'images' NLVR2, with 'text' and 'bbox' grounding. Figures are percent.
            """)

    @OptionGroup var common: CommonOptions
    @OptionGroup var limit: PictureLimit
    @Option(help: ArgumentHelp("The dataset: a JSON list of records.", valueName: "file"))
    var annotations: String
    @Option(help: ArgumentHelp("The folder that the records' pictures start from.", valueName: "folder"))
    var images: String
    @Option(
        name: [.customShort("o"), .long],
        help: ArgumentHelp("Write one result a record, for VQA as the evaluation server takes them.", valueName: "json"))
    var output: String?
    @Option(help: ArgumentHelp("Candidates for VQA instead of the model's own (JSON list).", valueName: "a.json"))
    var answers: String?
    @Option(help: ArgumentHelp("Proposed boxes for grounding: {image: [boxes]}.", valueName: "json"))
    var boxes: String?
    @Option(help: ArgumentHelp("Retrieval: candidates that the matching head ranks (default: at most \(PictureSearch.defaultRerank)).", valueName: "n"))
    var rerank: Int?
    @Option(
        help: ArgumentHelp(
            "Grounding: cross-attention layer, or block of the image encoder in mode itc (default: the model's own).",
            valueName: "n"))
    var layer: Int?
    @Option(help: "Grounding: the score whose heatmap is taken, itm (match score) or itc (similarity).")
    var mode: GroundingMode?

    func validate() throws {
        if let rerank, rerank < 0 { throw ValidationError("--rerank takes 0 or more, found \(rerank).") }
    }

    /// Refuses options of another task than the records', which would silently do nothing.
    private func checkOptions(_ records: Annotations) throws {
        let task: String
        let taken: [String]
        switch records {
        case .retrieval: (task, taken) = ("retrieval", ["--rerank"])
        case .questions: (task, taken) = ("VQA", ["--answers"])
        case .grounding: (task, taken) = ("grounding", ["--boxes", "--layer", "--mode"])
        case .entailment: (task, taken) = ("visual entailment", [])
        case .reasoning: (task, taken) = ("NLVR2", [])
        }
        let given = [
            ("--answers", answers != nil), ("--boxes", boxes != nil), ("--rerank", rerank != nil), ("--layer", layer != nil),
            ("--mode", mode != nil),
        ]
        for (option, isGiven) in given where isGiven && !taken.contains(option) {
            throw AlbefError.conflictingInputs(
                "\(singleLine(annotations)): the records are of \(task), which takes no \(option)")
        }
    }

    func run() throws {
        let records = try Annotations(path: annotations)
        try checkOptions(records)
        let session = try common.session()
        let showsProgress = !common.quiet && !common.json && StandardStreams.errorIsTerminal
        let evaluator = Evaluator(session: session, root: images, maxPixels: limit.maxPixels) { done, all in
            if showsProgress { StandardStreams.reportProgress("\(done) of \(all)") }
        }
        let result: Evaluation
        switch records {
        case .retrieval(let records): result = try evaluator.retrieval(records, rerank: rerank)
        case .questions(let records):
            result = try evaluator.questions(records, candidates: session.model.answerList(answers.map(readAnswers)))
        case .entailment(let records): result = try evaluator.entailment(records)
        case .reasoning(let records): result = try evaluator.reasoning(records)
        case .grounding(let records):
            let proposals = try boxes.map { try ProposalFile(path: $0) }
            result = try evaluator.grounding(
                records, proposals: proposals.map { file in { try file.boxes(for: $0) } }, mode: mode ?? .itm, layer: layer)
        }
        if showsProgress { StandardStreams.reportProgress("") }
        if let output { try writeAtomically(result.results.utf8 + [0x0A], to: output) }
        try common.show(
            [
                "task": .string(result.task), "cases": JSONValue(result.cases),
                "metrics": .object(result.metrics.map { JSONMember($0.name, JSONValue($0.value)) }),
            ],
            (["\(result.task), \(result.cases) records"] + result.metrics.map { left($0.name, 18) + right(digits($0.value, 2), 7) })
                .joined(separator: "\n"))
    }
}
