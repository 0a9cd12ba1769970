import AlbefFiles

extension Evaluator {
    /// Texts of one picture, or of one pair, that are fused together at most.
    private static let group = 64

    /// Visual entailment (SNLI-VE): the share of records whose greatest logit is that of their label.
    ///
    /// - Returns: `accuracy`, then that of each kind; as results, each record with the predicted class.
    public func entailment(_ records: [Annotations.Entailed]) throws -> Evaluation {
        guard session.model.heads.contains(.entailment) else { throw session.model.missing(.entailment) }
        return try classify(
            records, task: "entailment", pictures: { [$0.image] },
            text: \.sentence, label: \.label, kind: \.kind
        ) { try session.entail($0[0], $1) } result: { record, predicted in
            ["image": .string(record.image), "sentence": .string(record.sentence), "prediction": .string(predicted)]
        }
    }

    /// Reasoning over two pictures (NLVR2): the share of records whose sentence is rightly called true or false.
    ///
    /// - Returns: `accuracy`, then that of each kind; as results, each record with the predicted label as the dataset spells
    ///   it.
    public func reasoning(_ records: [Annotations.Compared]) throws -> Evaluation {
        guard session.model.heads.contains(.reasoning) else { throw session.model.missing(.reasoning) }
        return try classify(
            records, task: "nlvr", pictures: { [$0.left, $0.right] },
            text: \.sentence, label: { $0.isTrue ? "true" : "false" }, kind: \.kind
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
        label: (Record) -> String, kind: (Record) -> String?,
        by decide: ([EncodedImage], [EncodedText]) throws -> [Classification], result: (Record, String) -> JSONValue
    ) throws -> Evaluation {
        var scores = GroupedAccuracy()
        var last: [String: EncodedImage] = [:]
        var results: [JSONValue] = []
        var start = 0
        while start < records.count {
            progress(start, records.count)
            let paths = pictures(records[start])
            let same = records[start...].prefix(Evaluator.group).prefix { pictures($0) == paths }
            // A pair often shares a picture with the pair before it.
            var encoded: [String: EncodedImage] = [:]
            let images = try paths.map { path in
                let image = try encoded[path] ?? last[path] ?? session.encode(picture(path))
                encoded[path] = image
                return image
            }
            last = encoded
            let texts = try session.encode(same.map { try session.model.prepare(text($0), for: .caption) })
            for (record, verdict) in zip(same, try decide(images, texts)) {
                scores.add(verdict.label == label(record) ? 1 : 0, kind: kind(record))
                results.append(result(record, verdict.label))
            }
            start += same.count
        }
        return Evaluation(task: task, cases: records.count, metrics: scores.metrics, results: .array(results))
    }
}
