import AlbefFiles

extension Evaluator {
    /// Texts of one picture, or of one pair, that are fused together at most.
    private static let group = 64

    /// Visual entailment (SNLI-VE): the share of records whose greatest logit is that of their label.
    ///
    /// - Returns: `accuracy`; as results, each record with the predicted class.
    public func entailment(_ records: [Annotations.Entailed]) throws -> Evaluation {
        guard session.model.heads.contains(.entailment) else { throw session.model.missing(.entailment) }
        return try classify(
            records, task: "entailment", pictures: { [$0.image] },
            text: \.sentence, label: \.label
        ) { try session.entail($0[0], $1) } result: { record, predicted in
            ["image": .string(record.image), "sentence": .string(record.sentence), "prediction": .string(predicted)]
        }
    }

    /// Reasoning over two pictures (NLVR2): the share of records whose sentence is rightly called true or false.
    ///
    /// - Returns: `accuracy`; as results, each record with the predicted label as the dataset spells it.
    public func reasoning(_ records: [Annotations.Compared]) throws -> Evaluation {
        guard session.model.heads.contains(.reasoning) else { throw session.model.missing(.reasoning) }
        return try classify(
            records, task: "nlvr", pictures: { [$0.left, $0.right] },
            text: \.sentence, label: { $0.isTrue ? "true" : "false" }
        ) { try session.reason($0[0], $0[1], $1) } result: { record, predicted in
            [
                "images": [.string(record.left), .string(record.right)], "sentence": .string(record.sentence),
                "prediction": predicted == "true" ? "True" : "False",
            ]
        }
    }

    /// Classifies every record; records of the same pictures that follow each other are fused together.
    private func classify<Record>(
        _ records: [Record], task: String, pictures: (Record) -> [String], text: (Record) -> String,
        label: (Record) -> String, by decide: ([EncodedImage], [EncodedText]) throws -> [Classification],
        result: (Record, String) -> JSONValue
    ) throws -> Evaluation {
        var right = 0
        var results: [JSONValue] = []
        var start = 0
        while start < records.count {
            progress(start, records.count)
            let paths = pictures(records[start])
            let same = records[start...].prefix(Evaluator.group).prefix { pictures($0) == paths }
            let images = try paths.map { try session.encode(picture($0)) }
            let texts = try session.encode(same.map { try session.model.prepare(text($0), for: .caption) })
            for (record, verdict) in zip(same, try decide(images, texts)) {
                if verdict.label == label(record) { right += 1 }
                results.append(result(record, verdict.label))
            }
            start += same.count
        }
        let accuracy = 100 * Double(right) / Double(max(1, records.count))
        return Evaluation(
            task: task, cases: records.count, metrics: [Evaluation.Metric(name: "accuracy", value: accuracy)],
            results: .array(results))
    }
}
