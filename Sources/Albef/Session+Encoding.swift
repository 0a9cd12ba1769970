import AlbefImage
import AlbefLayers
import AlbefTensor

/// A picture as the fusion encoder reads it.
public struct EncodedImage: Sendable {
    /// `[image tokens, vision width]`, row after row, the class token first.
    public let tokens: [Float]
    /// Unit feature `[embed_dim]`; nil for a model without contrastive head.
    public let feature: [Float]?
}

/// A text as the fusion encoder reads it.
public struct EncodedText: Sendable {
    /// Token ids, `[CLS]` first.
    public let ids: [Int32]
    /// `[tokens, text width]`, row after row: the output of text mode.
    public let tokens: [Float]
    /// Unit feature `[embed_dim]`; nil for a model without contrastive head.
    public let feature: [Float]?
}

extension Session {
    /// Resizes a decoded picture to the model's size with Pillow's bicubic filter; the aspect ratio is not kept.
    public func prepare(_ picture: Picture) throws(AlbefError) -> PreparedImage {
        try PreparedImage(
            pixels: resize(picture, to: model.configuration.imageSize, kernels: kernels), for: model)
    }

    /// Encodes a picture.
    ///
    /// - Throws: ``AlbefError/nonFinite(stage:)``.
    public func encode(_ image: PreparedImage) throws(AlbefError) -> EncodedImage {
        try pass { pass throws(AlbefError) in try pass.encode(image) }
    }

    /// Resizes and encodes a decoded picture.
    public func encode(_ picture: Picture) throws(AlbefError) -> EncodedImage { try encode(prepare(picture)) }

    /// Encodes a text.
    ///
    /// - Throws: ``AlbefError/nonFinite(stage:)``.
    public func encode(_ text: PreparedText) throws(AlbefError) -> EncodedText { try encode([text])[0] }

    /// Encodes many texts; each result equals that of the text alone.
    public func encode(_ texts: [PreparedText]) throws(AlbefError) -> [EncodedText] {
        let longest = texts.lazy.map(\.ids.count).max() ?? 0
        return try pass(tokens: longest) { pass throws(AlbefError) in
            var results: [EncodedText] = []
            for batch in pass.batches(texts.map(\.ids.count)) {
                results += try pass.encode(texts[batch].map(\.ids))
            }
            return results
        }
    }
}

extension ForwardPass {
    func encode(_ image: PreparedImage) throws(AlbefError) -> EncodedImage {
        let mark = arena.mark()
        defer { arena.release(to: mark) }
        let tokens = work.reserve(Shape(model.vision.tokens, model.vision.width))
        let feature = model.contrastive.map { work.reserve(Shape(1, $0.width)) }
        try computing { () throws(AlbefError) in
            model.vision(image.pixels, to: tokens, in: work)
            try checkFinite(tokens, "image_tokens")
            if let head = model.contrastive, let feature {
                head.image(tokens.rows(0..<1), to: feature, in: work)
                try checkFinite(feature, "image_feature")
                work.observe("image_feature", feature.reshaped(Shape(head.width)))
            }
        }
        return EncodedImage(tokens: arena.read(tokens), feature: feature.map { arena.read($0) })
    }

    /// Encodes texts together, at most ``rowLimit`` tokens.
    func encode(_ texts: [[Int32]]) throws(AlbefError) -> [EncodedText] {
        let mark = arena.mark()
        defer { arena.release(to: mark) }
        let sequences = Sequences(texts.map(\.count))
        let ids = place(texts.flatMap { $0 }, Shape(sequences.rows))
        work.observe("input_ids", ids)
        let tokens = work.reserve(Shape(sequences.rows, model.text.width))
        let features = model.contrastive.map { reserveResults(texts.count, $0.width) }
        try computing { () throws(AlbefError) in
            model.text.encode(ids, sequences: sequences.ranges, to: tokens, in: work)
            try checkFinite(tokens, "text_tokens")
            work.observe("text_tokens", tokens)
            guard let head = model.contrastive, let features else { return }
            for index in texts.indices {
                let first = sequences.ranges[index].lowerBound
                let feature = features.rows(index..<index + 1)
                head.text(tokens.rows(first..<first + 1), to: feature, in: work)
                try checkFinite(feature, "text_feature")
                work.observe("text_feature", feature.reshaped(Shape(head.width)))
            }
        }
        return texts.indices.map { index in
            EncodedText(
                ids: texts[index], tokens: arena.read(tokens.rows(sequences.ranges[index])),
                feature: features.map { arena.read($0.rows(index..<index + 1)) })
        }
    }

    /// Splits a list into runs of at most ``rowLimit`` tokens together, and at least one text.
    func batches(_ counts: [Int]) -> [Range<Int>] {
        var result: [Range<Int>] = []
        var start = 0
        var rows = 0
        for (index, count) in counts.enumerated() {
            if rows + count > rowLimit, index > start {
                result.append(start..<index)
                start = index
                rows = 0
            }
            rows += count
        }
        if start < counts.count { result.append(start..<counts.count) }
        return result
    }
}

/// Where each of several sequences lies among the rows of one matrix.
struct Sequences {
    let ranges: [Range<Int>]
    /// Rows of all.
    let rows: Int
    /// The rows of the first, as one range, where all of several are the same text.
    let oneText: [Range<Int>]?

    init(_ counts: [Int], sameText: Bool = false) {
        var start = 0
        ranges = counts.map { count in
            defer { start += count }
            return start..<start + count
        }
        rows = start
        oneText = sameText && counts.count > 1 ? [ranges[0]] : nil
    }
}
