import AlbefTokenizer
import Testing

private let special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]

private func tokenizer(_ tokens: [String]) throws -> WordPieceTokenizer {
    try WordPieceTokenizer(vocabulary: special + tokens)
}

@Suite("WordPiece")
struct WordPieceTests {
    @Test("the longest piece wins, and a word that cannot be covered is unknown as a whole")
    func greedy() throws {
        let t = try tokenizer(["un", "unwant", "##want", "##ed", "##e", "dog"])
        #expect(t.pieces("unwanted").map(t.token) == ["unwant", "##ed"])
        #expect(t.pieces("unwantedx dog").map(t.token) == ["[UNK]", "dog"])
    }

    @Test("a vocabulary without a special token is refused by the token's name", arguments: special)
    func missingSpecial(name: String) {
        #expect(throws: TokenizerError.missingToken(name)) {
            try WordPieceTokenizer(vocabulary: special.filter { $0 != name })
        }
    }

    @Test("of a token that occurs twice the later id counts")
    func duplicates() throws {
        let t = try tokenizer(["dog", "cat", "dog"])
        #expect(t.pieces("dog") == [7])
    }

    @Test("truncation keeps the first ids, [CLS] included, and says so", arguments: [1, 2, 3, 4, 5])
    func truncation(limit: Int) throws {
        let t = try tokenizer(["a", "b", "c"])
        let whole: [Int32] = [2, 5, 6, 7]
        let (ids, truncated) = t.encode("a b c", maxTokens: limit)
        #expect(ids == Array(whole.prefix(limit)))
        #expect(truncated == (limit < 4))
    }

    @Test("a text cut after some tokens has the ids of the whole text's beginning")
    func prefix() throws {
        let t = try tokenizer(["a", "##b", "中", ",", "e"])
        let text = "ab,é中 a[MASK]zz  中中, ab[SEP]"
        let whole = t.encode(text).ids
        for limit in 1...(whole.count + 1) {
            #expect(t.encode(text, maxTokens: limit).ids == Array(whole.prefix(limit)))
        }
    }

    @Test("an empty text is [CLS] alone")
    func empty() throws {
        #expect(try tokenizer([]).encode("").ids == [2])
        #expect(try tokenizer([]).encode(" \u{0}\u{200B}\n").ids == [2])
    }

    @Test("words put their pieces together again, with the pieces' positions")
    func words() throws {
        let t = try tokenizer(["play", "##ing", "dog", "##s", "."])
        let ids = t.encode("playing dogs.").ids
        let words = t.words(in: ids)
        #expect(words.map(\.word) == ["playing", "dogs", "."])
        #expect(words.map(\.pieces) == [1..<3, 3..<5, 5..<6])
        #expect(t.word(for: ids[1..<3]) == "playing")
    }

    @Test("an id outside of the vocabulary has the unknown token", arguments: [Int32(-1), 5, .max, .min])
    func foreignID(id: Int32) throws {
        #expect(try tokenizer([]).token(id) == "[UNK]")
    }

    @Test("long and hostile texts cost linear time")
    func hostile() throws {
        let t = try tokenizer(["a", "##a", "##b"])
        let texts = [
            String(repeating: "dog ", count: 10_000),
            String(repeating: "a", count: 200_000),
            String(repeating: String(repeating: "a", count: 99) + "c ", count: 1_000),
            String(repeating: "[MASK", count: 40_000),
            "a" + String(repeating: "\u{301}\u{323}", count: 100_000),
            String(repeating: "Σ", count: 100_000),
            "aΣ" + String(repeating: "\u{AD}", count: 100_000) + "Σ" + String(repeating: "\u{AD}", count: 100_000),
            String(repeating: " ", count: 200_000),
            String(repeating: "<person", count: 30_000),
        ]
        let clock = ContinuousClock()
        for text in texts {
            let time = clock.measure {
                _ = t.pieces(text)
                _ = TextNormalization.caption(text, keepingMask: true)
                _ = TextNormalization.question(text)
            }
            // A quadratic walk over these lengths takes minutes.
            #expect(time < .seconds(20))
        }
    }

    @Test("random bytes as text never stop the program")
    func randomBytes() throws {
        let t = try tokenizer(["a", "##b", "中"])
        var state: UInt64 = 0x5EED_0F5E_ED0F_5EED
        for _ in 0..<2_000 {
            var bytes: [UInt8] = []
            for _ in 0..<40 {
                state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                bytes.append(UInt8(truncatingIfNeeded: state >> 33))
            }
            let text = String(decoding: bytes, as: UTF8.self)
            #expect(t.encode(text).ids.first == 2)
            #expect(TextNormalization.caption(text).text.utf8.count <= text.utf8.count * 2)
        }
    }
}

@Suite("Caption and question normalisation")
struct NormalizationTests {
    @Test(
        "captions of the published test vectors",
        arguments: [
            (
                "The woman is working on her computer at the desk.",
                "the woman is working on her computer at the desk"
            ),
            ("A black-and-white cat/dog; sitting (quietly)!", "a black and white cat dog sitting quietly"),
            ("Two people's umbrellas... aren't RED", "two peoples umbrellas arent red"),
            ("<PERSON> plays the saxophone", "person plays the saxophone"),
        ])
    func captions(raw: String, expected: String) {
        #expect(TextNormalization.caption(raw).text == expected)
    }

    @Test(
        "questions keep their runs of spaces",
        arguments: [
            ("What color is the man's T-shirt?", "what color is the mans t shirt"),
            ("How many -- dogs?", "how many    dogs"), ("  a ", "  a"),
        ])
    func questions(raw: String, expected: String) {
        #expect(TextNormalization.question(raw).text == expected)
    }

    @Test("thirty words pass, the thirty-first is cut and reported")
    func wordCut() {
        let words = Array(repeating: "dog", count: 30).joined(separator: " ")
        #expect(TextNormalization.caption(words) == (words, false))
        #expect(TextNormalization.caption(words + " cat") == (words, true))
        #expect(TextNormalization.caption("a b c", maxWords: 2) == ("a b", true))
        #expect(TextNormalization.question("a  b c", maxWords: 2) == ("a ", true))
    }

    @Test("the demo's variant leaves <person> alone")
    func personRule() {
        #expect(TextNormalization.caption("<PERSON>", personRule: false).text == "<person>")
    }

    @Test("[MASK] survives where asked for, exactly as written, and is lower-cased elsewhere")
    func mask() {
        #expect(TextNormalization.caption("A [MASK] Dog.", keepingMask: true).text == "a [MASK] dog")
        #expect(TextNormalization.caption("a [Mask], dog", keepingMask: true).text == "a [mask] dog")
        #expect(TextNormalization.caption("A [MASK] Dog.").text == "a [mask] dog")
        let counts = ["[MASK][MASK] a [MASK].", "[mask] [MASK", "[[MASK]]", ""].map { TextNormalization.masks(in: $0) }
        #expect(counts == [3, 0, 1, 0])
    }

    @Test("nothing is left of punctuation and blanks", arguments: ["", " ", "...", "\n", " - / ", "(!)"])
    func nothingLeft(raw: String) {
        #expect(TextNormalization.caption(raw).text.isEmpty)
    }
}
