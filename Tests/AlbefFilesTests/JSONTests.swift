@testable import AlbefFiles
import AlbefTestSupport
import Testing

@Suite("JSON")
struct JSONTests {
    @Test("valid texts are read as what they say", arguments: [
        ("null", .null), (" true\n", true), ("false", false), ("0", 0), ("-0", 0), ("12", 12), ("-7", -7),
        ("9223372036854775807", .number(.integer(Int.max))), ("1.5", .number(.double(1.5))), ("1e2", .number(.double(100))),
        ("-0.0", .number(.double(-0.0))), ("1E+2", .number(.double(100))), ("25e-1", .number(.double(2.5))),
        ("9223372036854775808", .number(.double(9223372036854775808))), ("1e-999", .number(.double(0))),
        ("\"\"", ""), ("\"a\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "a\"\\/\u{8}\u{C}\n\r\t"), ("\"é😀\"", "é😀"),
        ("\"\\u00e9\\uD83D\\uDE00\\u0000\"", "é😀\0"), ("[]", []), ("[ 1 , [ ] , {} ]", [1, [], [:]]),
        ("{\"b\":1,\"a\":[true,null]}", ["b": 1, "a": [true, nil]]), ("{\"\":\"\"}", ["": ""]),
    ] as [(String, JSONValue)])
    func valid(text: String, value: JSONValue) throws { #expect(try JSONValue(parsing: text) == value) }

    @Test("invalid texts are refused", arguments: [
        "", " ", "nul", "nulll", "tru", "True", "01", "-", "+1", ".5", "1.", "1e", "1e+", "0x1", "Infinity", "NaN", "1e999", "-1e400",
        "\"", "\"\\\"", "\"\\x\"", "\"\\u12\"", "\"\\u12g4\"", "\"\\uD800\"", "\"\\uDC00\"", "\"\\uD800\\u0041\"", "\"\\uD800\\n\"",
        "\"a\nb\"", "\"\u{1}\"", "[", "]", "[1", "[1,", "[1,]", "[,1]", "[1 2]", "{", "}", "{\"a\"", "{\"a\":", "{\"a\":1", "{\"a\":1,",
        "{\"a\":1,}", "{a:1}", "{'a':1}", "{1:1}", "{\"a\" 1}", "1 2", "[] []", "// x\n1", "\u{FEFF}1", "{\"a\":1,\"a\":2}",
        "{\"\\u0061\":1,\"a\":2}",
    ])
    func invalid(text: String) {
        let error = failure { _ = try JSONValue(parsing: text) } as? JSONError
        #expect(error != nil)
        #expect(error?.kind == .badData && error?.description.contains("\n") == false)
    }

    @Test("bytes that are not UTF-8 are refused", arguments: [
        [0x80], [0xC3], [0xC0, 0x80], [0xED, 0xA0, 0x80], [0xF4, 0x90, 0x80, 0x80], [0xFF], [0xE2, 0x82],
    ] as [[UInt8]])
    func notUTF8(bytes: [UInt8]) {
        #expect(throws: JSONError.self) { try JSONValue(parsing: [0x22] + bytes + [0x22]) }
        #expect(throws: JSONError.self) { try JSONValue(parsing: [0x22, 0x5C, 0x6E] + bytes + [0x22]) }
        #expect(throws: JSONError.self) { try JSONValue(parsing: bytes) }
    }

    @Test("nesting is read up to the limit, and deeper texts are refused without exhausting the stack")
    func depth() throws {
        let limit = JSONValue.maximumDepth
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let inner = open == "[" ? "" : "1"
            let deepest = String(repeating: open, count: limit) + inner + String(repeating: close, count: limit)
            _ = try JSONValue(parsing: deepest)
            #expect(throws: JSONError.self) { try JSONValue(parsing: String(repeating: open, count: limit + 1)) }
            #expect(throws: JSONError.self) { try JSONValue(parsing: String(repeating: open, count: 1_000_000)) }
        }
        _ = try JSONValue(parsing: "[" + Array(repeating: "[[]]", count: 1000).joined(separator: ",") + "]")
    }

    @Test("an error says where it is and what could stand there")
    func position() {
        let error = failure { _ = try JSONValue(parsing: "{\"a\": [1, x]}") } as? JSONError
        #expect(error == JSONError(position: 10, found: "'x'", expected: "a value"))
        #expect(error?.description == "JSON at byte 10: found 'x', expected a value")
        let twice = failure { _ = try JSONValue(parsing: "{\"a\":1,\"b\":2,\"a\":3}") } as? JSONError
        #expect(twice?.position == 13)
    }

    @Test("keys that Swift calls equal but whose bytes differ are two keys; large objects find repeated keys")
    func keys() throws {
        let value = try JSONValue(parsing: "{\"\\u00e9\":1,\"e\\u0301\":2}")
        #expect(value["\u{E9}"] == 1 && value["e\u{301}"] == 2)
        let members = (0..<100).map { "\"k\($0)\":\($0)" }
        #expect(try JSONValue(parsing: "{" + members.joined(separator: ",") + "}")["k77"] == 77)
        for repeated in [0, 5, 50, 99] {
            #expect(throws: JSONError.self) {
                try JSONValue(parsing: "{" + (members + ["\"k\(repeated)\":0"]).joined(separator: ",") + "}")
            }
        }
    }

    @Test("what is written is one compact line that reads back as the same value")
    func roundTrip() throws {
        let value: JSONValue = [
            "text": "a\"\\\n\u{1}\u{7F}é😀\u{2028}", "numbers": [0, -5, JSONValue(0.1 as Double), JSONValue(1e300)],
            "nothing": nil, "yes": true, "empty": [[], [:], ""],
        ]
        let text = value.text
        #expect(!text.contains("\n") && !text.contains(": ") && text.utf8.elementsEqual(value.utf8))
        #expect(try JSONValue(parsing: text) == value)
        #expect(JSONValue.object(["a": [1, nil]]).text == "{\"a\":[1,null]}")
    }

    @Test("floats are written as the shortest text that reads back as the same float32")
    func floats() throws {
        #expect(JSONValue([0.1, 1, -2.5, 1e-7, 3e20, 16777216] as [Float]).text == "[0.1,1.0,-2.5,1e-07,3e+20,16777216.0]")
        #expect(JSONValue([.infinity, .nan, -.infinity] as [Float]).text == "[null,null,null]")
        var random = SeededGenerator()
        for _ in 0..<2000 {
            let value = Float(bitPattern: UInt32(truncatingIfNeeded: random.next()))
            guard value.isFinite else { continue }
            let back = try JSONValue(parsing: JSONValue(value).text)
            #expect(back.float?.bitPattern == value.bitPattern, "seed \(random.seed), \(value)")
        }
    }

    @Test("accessors give a value only where the kind fits")
    func accessors() {
        let value: JSONValue = ["i": 3, "d": JSONValue(3.0), "h": JSONValue(3.5), "s": "x", "a": ["x", "y"], "m": ["x", 1]]
        #expect(value["i"]?.int == 3 && value["d"]?.int == 3 && value["h"]?.int == nil && value["s"]?.int == nil)
        #expect(value["i"]?.double == 3 && value["h"]?.float == 3.5 && value["s"]?.string == "x" && value["i"]?.string == nil)
        #expect(value["a"]?.strings == ["x", "y"] && value["m"]?.strings == nil && value["m"]?.array?.count == 2)
        #expect(value["none"] == nil && value["i"]?["x"] == nil && value.members?.count == 6)
        #expect(JSONValue(1e300).int == nil && JSONValue(true.description).bool == nil)
    }

    @Test("random texts never crash, and what is accepted survives a round trip")
    func random() throws {
        var random = SeededGenerator()
        let alphabet = Array("{}[]\",:0123456789.eE+-\\ubtrfalsn \n\u{1}é".utf8) + [0xFF, 0x80]
        let seeds = ["{\"a\":[1,2.5e3,\"x\\u00e9\"],\"b\":{\"c\":null,\"d\":[true,false]}}", "[[[]],{}]"].map { Array($0.utf8) }
        for round in 0..<20_000 {
            var bytes = seeds[round % 2]
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                let place = Int.random(in: 0..<bytes.count, using: &random)
                switch Int.random(in: 0..<3, using: &random) {
                case 0: bytes[place] = alphabet.randomElement(using: &random)!
                case 1: bytes.insert(alphabet.randomElement(using: &random)!, at: place)
                default: if bytes.count > 1 { bytes.remove(at: place) }
                }
            }
            if let value = try? JSONValue(parsing: bytes) {
                #expect(try JSONValue(parsing: value.utf8) == value, "seed \(random.seed), round \(round)")
            }
        }
    }

    @Test("a file with a bad text names the file and the byte")
    func file() throws {
        let folder = try TemporaryFolder()
        let path = try folder.write(Array("[1,".utf8), "a.json")
        let error = failure { _ = try JSONValue(readingFile: path, limit: 100) } as? FileError
        #expect(error == .malformed(path: path, field: "JSON at byte 3", found: "the end", expected: "a value"))
    }
}
