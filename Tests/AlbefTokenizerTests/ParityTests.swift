import AlbefTokenizer
import Foundation
import Testing

/// What `tools/generate_tokenizer_fixtures.py` writes.
private struct Fixture: Decodable {
    struct Case: Decodable {
        let text: String
        let ids: [Int32]
        let caption: String
        let question: String
        let masked: String?
    }

    let unicode: String
    let vocabulary: [String]
    let cases: [Case]
    let exhaustive_end: UInt32
    let exhaustive: [String: String]

    static func load() throws -> Fixture {
        let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        let data = try Data(contentsOf: root.appending(path: "fixtures/tokenizer/parity.json"))
        return try JSONDecoder().decode(Fixture.self, from: data)
    }
}

/// FNV-1a over 32-bit values, as the fixture's script has it.
private struct Digest {
    private var state: UInt64 = 0xCBF2_9CE4_8422_2325

    mutating func add(_ value: UInt32) { state = (state ^ UInt64(value)) &* 0x100_0000_01B3 }
    mutating func add(_ text: String) { for scalar in text.unicodeScalars { add(scalar.value) } }

    var hex: String {
        let digits = String(state, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }
}

/// Equality of the code points: `==` of Swift strings holds canonically equivalent ones to be equal.
private func same(_ a: String, _ b: String) -> Bool { a.unicodeScalars.elementsEqual(b.unicodeScalars) }

@Suite("Text comes out as the Python pipeline has it")
struct ParityTests {
    @Test("thousands of strings get the ids and normalised forms of the Python pipeline")
    func strings() throws {
        let fixture = try Fixture.load()
        #expect(fixture.unicode == "14.0.0")
        #expect(fixture.cases.count > 2000)
        let tokenizer = try WordPieceTokenizer(vocabulary: fixture.vocabulary)
        for (index, expected) in fixture.cases.enumerated() {
            let text = expected.text
            let ids = tokenizer.encode(text).ids
            #expect(ids == expected.ids, "case \(index): \(text.debugDescription)")
            let caption = TextNormalization.caption(text).text
            #expect(same(caption, expected.caption), "caption \(index): \(text.debugDescription)")
            let question = TextNormalization.question(text).text
            #expect(same(question, expected.question), "question \(index): \(text.debugDescription)")
            if let masked = expected.masked {
                let kept = TextNormalization.caption(text, keepingMask: true).text
                #expect(same(kept, masked), "masked caption \(index): \(text.debugDescription)")
            }
        }
    }

    @Test("every character of planes 0 and 1 has Python's case, whitespace, decomposition and token boundaries")
    func everyCharacter() throws {
        let fixture = try Fixture.load()
        let scalars = (0..<fixture.exhaustive_end).compactMap(Unicode.Scalar.init)
        // Token ids are 5 + 2c and 6 + 2c, so the surrogates, which no string holds, need unmatchable places.
        var vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
        for code in 0..<fixture.exhaustive_end {
            let text = Unicode.Scalar(code).map { String(Character($0)) }
            vocabulary.append(text ?? "[surrogate]")
            vocabulary.append("##" + (text ?? "[surrogate]"))
        }
        let tokenizer = try WordPieceTokenizer(vocabulary: vocabulary)
        var lower = Digest()
        var sigma = Digest()
        var whitespace = Digest()
        var tokens = Digest()
        for scalar in scalars {
            let c = String(Character(scalar))
            lower.add(TextNormalization.question(c).text)
            sigma.add(TextNormalization.question("\(c)ΣA\(c)ΣΣ\(c)B").text)
            whitespace.add(TextNormalization.caption("x\(c)\(c)y\(c)z").text)
            for id in tokenizer.encode("x\(c)y").ids { tokens.add(UInt32(id)) }
        }
        let found = [
            "lower": lower.hex, "sigma": sigma.hex, "whitespace": whitespace.hex, "tokens": tokens.hex,
        ]
        #expect(found == fixture.exhaustive)
    }
}
