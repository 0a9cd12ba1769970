extension Evaluator {
    /// Image-text retrieval both ways: candidates by similarity, the best `rerank` of each row ranked by the raw match
    /// logit, the others behind them. Ties go to the lower index.
    ///
    /// Two passes over the pictures, so that the tokens of one picture are in memory at a time: features first; then each
    /// picture is fused once with all texts that either direction asks for.
    ///
    /// - Parameter rerank: `k_test` of the paper; nil for `min(128, candidates)`, 0 for similarity alone.
    public func retrieval(_ records: [Annotations.Captioned], rerank: Int? = nil) throws -> Evaluation {
        let model = session.model
        guard model.heads.contains(.contrastive) else { throw model.missing(.contrastive) }
        var owners: [Int] = []
        var texts: [EncodedText] = []
        for (index, record) in records.enumerated() {
            for caption in record.captions {
                owners.append(index)
                texts.append(try session.encode(model.prepare(caption, for: .retrieval)))
            }
        }
        let textFeatures = texts.map { $0.feature ?? [] }
        var similarities: [[Float]] = []
        for (index, record) in records.enumerated() {
            progress(index, 2 * records.count)
            let feature = try session.encode(picture(record.image)).feature ?? []
            similarities.append(try session.similarities(feature, textFeatures))
        }
        let textsByImage = similarities.map { row in order(row.indices) { row[$0] } }
        let imagesByText = texts.indices.map { text in order(records.indices) { similarities[$0][text] } }
        let contrastive = ranks(textsByImage, imagesByText, owners: owners)
        let shortlist = rerank ?? 128
        var metrics = named(contrastive, prefix: shortlist > 0 ? "itc_" : "")
        if shortlist > 0 {
            let logits = try matchLogits(records, texts, textsByImage, imagesByText, shortlist)
            let bothWays = ranks(
                textsByImage.enumerated().map { image, row in reranked(row, shortlist) { logits[image][$0] ?? 0 } },
                imagesByText.enumerated().map { text, row in reranked(row, shortlist) { logits[$0][text] ?? 0 } },
                owners: owners)
            metrics = named(bothWays, prefix: "") + metrics
        }
        return Evaluation(task: "retrieval", cases: records.count, metrics: metrics, results: .array([]))
    }

    /// Match logits of each picture with the texts that need one, by text.
    private func matchLogits(
        _ records: [Annotations.Captioned], _ texts: [EncodedText], _ textsByImage: [[Int]], _ imagesByText: [[Int]],
        _ shortlist: Int
    ) throws -> [[Int: Float]] {
        var wanted = textsByImage.map { Set($0.prefix(shortlist)) }
        for (text, images) in imagesByText.enumerated() {
            for image in images.prefix(shortlist) { wanted[image].insert(text) }
        }
        var logits: [[Int: Float]] = []
        for (index, record) in records.enumerated() {
            progress(records.count + index, 2 * records.count)
            let image = try session.encode(picture(record.image))
            let chosen = wanted[index].sorted()
            let matches = try session.match(image, chosen.map { texts[$0] })
            logits.append(Dictionary(zip(chosen, matches.map(\.itmLogit)), uniquingKeysWith: { first, _ in first }))
        }
        return logits
    }

    /// Candidates by descending score, ties by index.
    private func order(_ candidates: Range<Int>, by score: (Int) -> Float) -> [Int] {
        let scores = candidates.map(score)
        return candidates.sorted { (scores[$0], $1) > (scores[$1], $0) }
    }

    /// The first `count` by descending logit, ties by index; the rest as they are.
    private func reranked(_ candidates: [Int], _ count: Int, by logit: (Int) -> Float) -> [Int] {
        candidates.prefix(count).sorted { (logit($0), $1) > (logit($1), $0) } + candidates.dropFirst(count)
    }

    private func ranks(_ textsByImage: [[Int]], _ imagesByText: [[Int]], owners: [Int]) -> RetrievalMetrics {
        RetrievalMetrics(
            imageRanks: textsByImage.enumerated().map { image, row in
                row.firstIndex { owners[$0] == image } ?? row.count
            },
            textRanks: imagesByText.enumerated().map { text, row in
                row.firstIndex(of: owners[text]) ?? row.count
            })
    }

    private func named(_ metrics: RetrievalMetrics, prefix: String) -> [Evaluation.Metric] {
        let names = RetrievalMetrics.ranks
        return zip(names, metrics.textRecall).map { Evaluation.Metric(name: "\(prefix)txt_r\($0)", value: $1) }
            + zip(names, metrics.imageRecall).map { Evaluation.Metric(name: "\(prefix)img_r\($0)", value: $1) }
            + [Evaluation.Metric(name: "\(prefix)r_mean", value: metrics.mean)]
    }
}
