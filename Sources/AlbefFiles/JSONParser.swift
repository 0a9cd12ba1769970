/// What is wrong with a JSON text, and where.
public struct JSONError: ClassifiedError, Equatable {
    /// Bytes before the first wrong one.
    public let position: Int
    /// What stands there.
    public let found: String
    /// What may stand there.
    public let expected: String

    public var kind: FailureKind { .badData }
    public var description: String { "JSON at byte \(position): found \(singleLine(found)), expected \(expected)" }
}

extension JSONValue {
    /// The deepest nesting of arrays and objects that is read unless told otherwise.
    public static let maximumDepth = 64

    /// Reads one JSON text, strictly as RFC 8259 says: UTF-8, no comments, no trailing commas, nothing behind the value.
    /// Refused as well: a key that occurs twice in an object, half a surrogate pair, a number that no double can hold.
    ///
    /// Memory is bounded by the text: at most 48 bytes a byte.
    public init(parsing bytes: [UInt8], maximumDepth: Int = JSONValue.maximumDepth) throws(JSONError) {
        var parser = JSONParser(bytes: bytes, depthLeft: maximumDepth)
        self = try parser.document()
    }

    /// Reads one JSON text; see ``init(parsing:maximumDepth:)``.
    public init(parsing text: String) throws(JSONError) { try self.init(parsing: Array(text.utf8)) }

    /// Reads a file that holds one JSON text of at most `limit` bytes.
    public init(readingFile path: String, limit: Int) throws(FileError) {
        let bytes = try readFile(path, limit: limit)
        do throws(JSONError) { try self.init(parsing: bytes) } catch {
            throw .malformed(
                path: path, field: "JSON at byte \(error.position)", found: error.found, expected: error.expected)
        }
    }
}

/// A recursive-descent parser. Its recursion is bounded by `depthLeft`.
private struct JSONParser {
    let bytes: [UInt8]
    var depthLeft: Int
    var position = 0

    init(bytes: [UInt8], depthLeft: Int) {
        self.bytes = bytes
        self.depthLeft = depthLeft
    }

    mutating func document() throws(JSONError) -> JSONValue {
        let result = try value()
        skipSpace()
        guard position == bytes.count else { throw unexpected("the end") }
        return result
    }

    private mutating func value() throws(JSONError) -> JSONValue {
        skipSpace()
        switch current {
        case UInt8(ascii: "{"): return try object()
        case UInt8(ascii: "["): return try array()
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "t"): return try word("true", .bool(true))
        case UInt8(ascii: "f"): return try word("false", .bool(false))
        case UInt8(ascii: "n"): return try word("null", .null)
        case .some(let byte) where byte == UInt8(ascii: "-") || isDigit(byte): return .number(try number())
        default: throw unexpected("a value")
        }
    }

    private mutating func object() throws(JSONError) -> JSONValue {
        try enter()
        var members: [JSONMember] = []
        var seen = SeenKeys()
        skipSpace()
        if !accept(UInt8(ascii: "}")) {
            repeat {
                skipSpace()
                let start = position
                guard current == UInt8(ascii: "\"") else { throw unexpected("a key in quotes") }
                let key = try string()
                guard seen.insert(key, among: members) else {
                    throw JSONError(position: start, found: "the key \"\(key)\" again", expected: "every key once")
                }
                skipSpace()
                try expect(UInt8(ascii: ":"), "':'")
                members.append(JSONMember(key, try value()))
                skipSpace()
            } while accept(UInt8(ascii: ","))
            try expect(UInt8(ascii: "}"), "',' or '}'")
        }
        depthLeft += 1
        return .object(members)
    }

    private mutating func array() throws(JSONError) -> JSONValue {
        try enter()
        var values: [JSONValue] = []
        skipSpace()
        if !accept(UInt8(ascii: "]")) {
            repeat {
                values.append(try value())
                skipSpace()
            } while accept(UInt8(ascii: ","))
            try expect(UInt8(ascii: "]"), "',' or ']'")
        }
        depthLeft += 1
        return .array(values)
    }

    /// Steps over an opening bracket.
    private mutating func enter() throws(JSONError) {
        guard depthLeft > 0 else {
            throw JSONError(position: position, found: "deeper nesting", expected: "fewer arrays and objects inside another")
        }
        depthLeft -= 1
        position += 1
    }

    private mutating func string() throws(JSONError) -> String {
        let start = position
        position += 1
        let first = position
        // Most strings have no escapes and are taken as they lie.
        while let byte = current, byte != UInt8(ascii: "\""), byte != UInt8(ascii: "\\"), byte >= 0x20 { position += 1 }
        if current == UInt8(ascii: "\"") {
            position += 1
            return try text(bytes[first..<(position - 1)], start)
        }
        var content = Array(bytes[first..<position])
        while let byte = current {
            switch byte {
            case UInt8(ascii: "\""):
                position += 1
                return try text(content[...], start)
            case UInt8(ascii: "\\"):
                position += 1
                try escape(into: &content)
            case 0..<0x20: throw unexpected("a control character as an escape")
            default:
                content.append(byte)
                position += 1
            }
        }
        throw unexpected("'\"'")
    }

    private func text(_ content: ArraySlice<UInt8>, _ start: Int) throws(JSONError) -> String {
        guard let text = String(validating: content, as: UTF8.self) else {
            throw JSONError(position: start, found: "a string that is not UTF-8", expected: "UTF-8")
        }
        return text
    }

    /// Reads what follows a backslash.
    private mutating func escape(into content: inout [UInt8]) throws(JSONError) {
        let plain: UInt8
        switch current {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): plain = bytes[position]
        case UInt8(ascii: "b"): plain = 0x08
        case UInt8(ascii: "f"): plain = 0x0C
        case UInt8(ascii: "n"): plain = 0x0A
        case UInt8(ascii: "r"): plain = 0x0D
        case UInt8(ascii: "t"): plain = 0x09
        case UInt8(ascii: "u"):
            content += String(try escapedScalar()).utf8
            return
        default: throw unexpected("an escape")
        }
        content.append(plain)
        position += 1
    }

    /// Reads `uXXXX`, or two of them with a backslash between for a scalar outside of the basic plane.
    private mutating func escapedScalar() throws(JSONError) -> Character {
        let start = position
        var code = try hexadecimalUnit()
        if (0xD800..<0xDC00).contains(code), current == UInt8(ascii: "\\") {
            position += 1
            guard current == UInt8(ascii: "u") else { throw unexpected("the other half of a surrogate pair") }
            let low = try hexadecimalUnit()
            if (0xDC00..<0xE000).contains(low) { code = 0x10000 + (code - 0xD800) << 10 + (low - 0xDC00) }
        }
        guard let scalar = Unicode.Scalar(code) else {
            throw JSONError(position: start, found: "half a surrogate pair", expected: "both halves")
        }
        return Character(scalar)
    }

    private mutating func hexadecimalUnit() throws(JSONError) -> UInt32 {
        position += 1
        var code: UInt32 = 0
        for _ in 0..<4 {
            switch current {
            case .some(let c) where isDigit(c): code = code << 4 | UInt32(c & 15)
            case .some(let c) where (UInt8(ascii: "a")...UInt8(ascii: "f")).contains(c | 0x20):
                code = code << 4 | UInt32((c | 0x20) - UInt8(ascii: "a") + 10)
            default: throw unexpected("four hexadecimal digits")
            }
            position += 1
        }
        return code
    }

    private mutating func number() throws(JSONError) -> JSONNumber {
        let start = position
        var isWhole = true
        _ = accept(UInt8(ascii: "-"))
        if !accept(UInt8(ascii: "0")) { try digits() }
        if accept(UInt8(ascii: ".")) {
            isWhole = false
            try digits()
        }
        if accept(UInt8(ascii: "e")) || accept(UInt8(ascii: "E")) {
            isWhole = false
            if !accept(UInt8(ascii: "+")) { _ = accept(UInt8(ascii: "-")) }
            try digits()
        }
        let text = String(decoding: bytes[start..<position], as: UTF8.self)
        if isWhole, let whole = Int(text) { return .integer(whole) }
        guard let real = Double(text), real.isFinite else {
            throw JSONError(position: start, found: "the number " + text, expected: "one that a double can hold")
        }
        return .double(real)
    }

    private mutating func digits() throws(JSONError) {
        let start = position
        while let byte = current, isDigit(byte) { position += 1 }
        guard position > start else { throw unexpected("a digit") }
    }

    private mutating func word(_ word: String, _ value: JSONValue) throws(JSONError) -> JSONValue {
        guard bytes[position...].starts(with: word.utf8) else { throw unexpected("a value") }
        position += word.utf8.count
        return value
    }

    private func isDigit(_ byte: UInt8) -> Bool { byte >= UInt8(ascii: "0") && byte <= UInt8(ascii: "9") }

    private var current: UInt8? { position < bytes.count ? bytes[position] : nil }

    private mutating func skipSpace() {
        while let byte = current, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 { position += 1 }
    }

    private mutating func accept(_ byte: UInt8) -> Bool {
        guard current == byte else { return false }
        position += 1
        return true
    }

    private mutating func expect(_ byte: UInt8, _ name: String) throws(JSONError) {
        guard accept(byte) else { throw unexpected(name) }
    }

    private func unexpected(_ expected: String) -> JSONError {
        guard let byte = current else { return JSONError(position: position, found: "the end", expected: expected) }
        let isGraphic = (0x21..<0x7F).contains(byte)
        let name = isGraphic ? "'" + String(Unicode.Scalar(byte)) + "'" : "byte 0x" + String(byte, radix: 16)
        return JSONError(position: position, found: name, expected: expected)
    }
}

/// The keys of an object so far, compared by their bytes (Swift's strings compare by canonical equivalence).
private struct SeenKeys {
    private var keys: Set<[UInt8]> = []
    /// Objects up to this size are searched without a set.
    private static let small = 12

    /// False when the key occurred before.
    mutating func insert(_ key: String, among members: [JSONMember]) -> Bool {
        if members.count < SeenKeys.small {
            return !members.contains { $0.key.utf8.elementsEqual(key.utf8) }
        }
        if keys.isEmpty { for member in members { keys.insert(Array(member.key.utf8)) } }
        return keys.insert(Array(key.utf8)).inserted
    }
}
