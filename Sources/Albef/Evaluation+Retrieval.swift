import AlbefFiles

extension Evaluator {
    /// The score of candidates that the matching head does not see.
    private static let unscored: Float = -100

    /// Image-text retrieval both ways: the best `rerank` candidates of each row by similarity are scored by the raw match
    /// logit, the others by -100. Ties, so those others too, go to the lower index.
    ///
    /// Two passes over the pictures, so that the tokens of one picture are in memory at a time: features first; then each
    /// picture is fused once with all texts that either direction asks for. What stays is the texts' tokens, one float32 a pair
    /// and the short lists.
    ///
    /// - Parameter rerank: `k_test` of the paper; nil for `min(128, candidates)`, 0 for similarity alone.
    /// - Returns: Recall with re-ranking, and by similarity alone with names that begin with `itc_`; as results, for each
    ///   picture, the rank of its best caption and the rank of the picture for each caption.
    public func retrieval(_ records: [Annotations.Captioned], rerank: Int? = nil) throws -> Evaluation {
        let model = session.model
        let shortlist = rerank ?? PictureSearch.defaultRerank
        guard model.heads.contains(.contrastive) else { throw model.missing(.contrastive) }
        guard shortlist <= 0 || model.heads.contains(.matching) else { throw model.missing(.matching) }
        var captions: [Range<Int>] = []
        var texts: [EncodedText] = []
        for record in records {
            captions.append(texts.count..<texts.count + record.captions.count)
            for caption in record.captions { texts.append(try session.encode(model.prepare(caption, for: .retrieval))) }
        }
        let table = try similarities(records, texts)
        var ranks = table.ranks(captions)
        var metrics = named(ranks.metrics, prefix: shortlist > 0 ? "itc_" : "")
        if shortlist > 0 {
            ranks = try reranked(table, records, texts, captions, shortlist)
            metrics = named(ranks.metrics, prefix: "") + metrics
        }
        let results = records.indices.map { index -> JSONValue in
            [
                "image": .string(records[index].image), "rank": JSONValue(ranks.images[index]),
                "caption_ranks": .array(ranks.texts[captions[index]].map { JSONValue($0) }),
            ]
        }
        return Evaluation(task: "retrieval", cases: records.count, metrics: metrics, results: .array(results))
    }

    /// The first pass: cosines of all pictures with all texts.
    private func similarities(_ records: [Annotations.Captioned], _ texts: [EncodedText]) throws -> PairTable {
        let features = texts.map { $0.feature ?? [] }
        var values: [Float] = []
        values.reserveCapacity(records.count * texts.count)
        for (index, record) in records.enumerated() {
            progress(index, 2 * records.count)
            let feature = try session.encode(picture(record.image)).feature ?? []
            values += try session.similarities(feature, features)
        }
        return PairTable(images: records.count, texts: texts.count, values: values)
    }

    /// The second pass: match logits of each picture with the texts that need one, and the ranks they give.
    private func reranked(
        _ table: PairTable, _ records: [Annotations.Captioned], _ texts: [EncodedText], _ captions: [Range<Int>],
        _ shortlist: Int
    ) throws -> RetrievalRanks {
        let textsByImage = records.indices.map { image in
            Ranking.best(shortlist, of: texts.count) { table[image, $0] }
        }
        let imagesByText = texts.indices.map { text in
            Ranking.best(shortlist, of: records.count) { table[$0, text] }
        }
        var wanted = textsByImage.map { Set($0) }
        for (text, images) in imagesByText.enumerated() {
            for image in images { wanted[image].insert(text) }
        }
        var logits: [[Int: Float]] = []
        for (index, record) in records.enumerated() {
            progress(records.count + index, 2 * records.count)
            let image = try session.encode(picture(record.image))
            let chosen = wanted[index].sorted()
            let matches = try session.match(image, chosen.map { texts[$0] })
            logits.append(Dictionary(zip(chosen, matches.map(\.itmLogit)), uniquingKeysWith: { first, _ in first }))
        }
        let imageRanks = textsByImage.enumerated().map { image, chosen in
            var scores = Array(repeating: Evaluator.unscored, count: texts.count)
            for text in chosen { scores[text] = logits[image][text] ?? Evaluator.unscored }
            return Ranking.rank(of: captions[image], in: scores)
        }
        var textRanks: [Int] = []
        for (image, own) in captions.enumerated() {
            for text in own {
                var scores = Array(repeating: Evaluator.unscored, count: records.count)
                for image in imagesByText[text] { scores[image] = logits[image][text] ?? Evaluator.unscored }
                textRanks.append(Ranking.rank(of: image..<image + 1, in: scores))
            }
        }
        return RetrievalRanks(images: imageRanks, texts: textRanks)
    }

    private func named(_ metrics: RetrievalMetrics, prefix: String) -> [Evaluation.Metric] {
        let names = RetrievalMetrics.ranks
        let recalls =
            zip(names, metrics.textRecall).map { ("txt_r\($0)", $1) } + [("txt_r_mean", metrics.textMean)]
            + zip(names, metrics.imageRecall).map { ("img_r\($0)", $1) } + [("img_r_mean", metrics.imageMean)]
            + [("r_mean", metrics.mean)]
        return recalls.map { Evaluation.Metric(name: prefix + $0.0, value: $0.1) }
    }
}

/// Ranks, from 0, both ways.
private struct RetrievalRanks {
    /// For each picture, the rank of its best caption.
    let images: [Int]
    /// For each text, the rank of its picture.
    let texts: [Int]

    var metrics: RetrievalMetrics { RetrievalMetrics(imageRanks: images, textRanks: texts) }
}

/// One value for each picture and text.
private struct PairTable {
    let images, texts: Int
    /// `[images, texts]`
    let values: [Float]

    subscript(image: Int, text: Int) -> Float { values[image * texts + text] }

    /// Ranks by the table's own values; `captions` has the texts of each picture.
    func ranks(_ captions: [Range<Int>]) -> RetrievalRanks {
        let imageRanks = captions.enumerated().map { image, own in
            Ranking.rank(of: own, in: values[image * texts..<(image + 1) * texts])
        }
        var textRanks: [Int] = []
        for (image, own) in captions.enumerated() {
            for text in own {
                textRanks.append(Ranking.rank(of: image..<image + 1, in: (0..<images).lazy.map { self[$0, text] }))
            }
        }
        return RetrievalRanks(images: imageRanks, texts: textRanks)
    }
}
