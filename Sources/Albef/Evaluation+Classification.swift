import AlbefFiles

extension Evaluator {
    /// Sentences about the same pictures that are in memory at one time.
    private static let sentences = 64

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

    /// Classifies every record. Records of the same pictures, wherever they stand in the file, are taken together, so that
    /// each picture, and each pair, is encoded about once.
    private func classify<Record>(
        _ records: [Record], task: String, pictures: (Record) -> [String], text: (Record) -> String,
        label: (Record) -> String, kind: (Record) -> String?,
        by decide: ([EncodedImage], [EncodedText]) throws -> [Classification], result: (Record, String) -> JSONValue
    ) throws -> Evaluation {
        var scores = GroupedAccuracy()
        var results = [JSONValue](repeating: .null, count: records.count)
        var done = 0
        var last: [String: EncodedImage] = [:]
        for (paths, group) in grouped(records, by: pictures) {
            // A pair often shares a picture with the pair before it.
            var encoded: [String: EncodedImage] = [:]
            let images = try paths.map { path in
                let image = try encoded[path] ?? last[path] ?? session.encode(picture(path))
                encoded[path] = image
                return image
            }
            last = encoded
            for start in stride(from: 0, to: group.count, by: Evaluator.sentences) {
                progress(done, records.count)
                let part = group[start..<min(start + Evaluator.sentences, group.count)]
                let texts = try session.encode(part.map { try session.model.prepare(text(records[$0]), for: .caption) })
                for (index, verdict) in zip(part, try decide(images, texts)) {
                    let record = records[index]
                    scores.add(verdict.label == label(record) ? 1 : 0, kind: kind(record))
                    results[index] = result(record, verdict.label)
                }
                done += part.count
            }
        }
        return Evaluation(task: task, cases: records.count, metrics: scores.metrics, results: .array(results))
    }

    /// The records' places by their pictures, in the order in which those first appear.
    private func grouped<Record>(_ records: [Record], by pictures: (Record) -> [String]) -> [([String], [Int])] {
        var groups: [([String], [Int])] = []
        var places: [[String]: Int] = [:]
        for (index, record) in records.enumerated() {
            let paths = pictures(record)
            if let place = places[paths] {
                groups[place].1.append(index)
            } else {
                places[paths] = groups.count
                groups.append((paths, [index]))
            }
        }
        return groups
    }
}
