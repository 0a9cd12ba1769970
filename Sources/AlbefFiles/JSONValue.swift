/// A JSON number. Integers stay exact; a `float` is written as the shortest text that reads back as the same float32.
public enum JSONNumber: Sendable, Equatable {
    case integer(Int)
    case double(Double)
    case float(Float)
}

/// A key of an object with its value.
public struct JSONMember: Sendable, Equatable {
    public let key: String
    public let value: JSONValue

    public init(_ key: String, _ value: JSONValue) {
        self.key = key
        self.value = value
    }
}

/// A JSON text (RFC 8259) as a value. Objects keep the order of their members.
public enum JSONValue: Sendable, Equatable {
    case null
    case bool(Bool)
    case number(JSONNumber)
    case string(String)
    case array([JSONValue])
    case object([JSONMember])

    /// An exact integer as a number.
    public init(_ value: Int) { self = .number(.integer(value)) }
    /// A float32, written as its shortest round trip.
    public init(_ value: Float) { self = .number(.float(value)) }
    /// Float32 values, each written as its shortest round trip.
    public init(_ values: [Float]) { self = .array(values.map { JSONValue($0) }) }
    /// A double, written as its shortest round trip.
    public init(_ value: Double) { self = .number(.double(value)) }
    /// A text.
    public init(_ value: String) { self = .string(value) }
    /// Texts.
    public init(_ values: [String]) { self = .array(values.map { .string($0) }) }

    /// An object from key and value pairs, in their order.
    public static func object(_ members: KeyValuePairs<String, JSONValue>) -> JSONValue {
        .object(members.map { JSONMember($0.key, $0.value) })
    }

    /// The text of a string.
    public var string: String? { if case .string(let text) = self { text } else { nil } }

    /// The value of `true` or `false`.
    public var bool: Bool? { if case .bool(let value) = self { value } else { nil } }

    /// A whole number; also one that is written with a fraction of zero or an exponent, such as `3.0`.
    public var int: Int? {
        switch self {
        case .number(.integer(let value)): value
        case .number(.double(let value)): Int(exactly: value)
        case .number(.float(let value)): Int(exactly: value)
        default: nil
        }
    }

    /// Any number.
    public var double: Double? {
        switch self {
        case .number(.integer(let value)): Double(value)
        case .number(.double(let value)): value
        case .number(.float(let value)): Double(value)
        default: nil
        }
    }

    /// Any number, rounded to the nearest float32.
    public var float: Float? { double.map { Float($0) } }

    /// The elements of an array.
    public var array: [JSONValue]? { if case .array(let values) = self { values } else { nil } }

    /// The elements of an array that holds only strings.
    public var strings: [String]? {
        guard let array else { return nil }
        let texts = array.compactMap(\.string)
        return texts.count == array.count ? texts : nil
    }

    /// The members of an object, in the order of the text.
    public var members: [JSONMember]? { if case .object(let members) = self { members } else { nil } }

    /// The value of a member of an object; nil when there is none, or this is no object. Searches from the first.
    public subscript(key: String) -> JSONValue? {
        guard case .object(let members) = self else { return nil }
        return members.first { $0.key.utf8.elementsEqual(key.utf8) }?.value
    }

    /// What kind of value this is, for error messages.
    public var kindName: String {
        switch self {
        case .null: "null"
        case .bool: "a boolean"
        case .number: "a number"
        case .string: "a string"
        case .array: "an array"
        case .object: "an object"
        }
    }
}

extension JSONValue: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, ExpressibleByFloatLiteral,
    ExpressibleByBooleanLiteral, ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral, ExpressibleByNilLiteral
{
    public init(stringLiteral value: String) { self = .string(value) }
    public init(integerLiteral value: Int) { self = .number(.integer(value)) }
    public init(floatLiteral value: Double) { self = .number(.double(value)) }
    public init(booleanLiteral value: Bool) { self = .bool(value) }
    public init(arrayLiteral elements: JSONValue...) { self = .array(elements) }
    public init(dictionaryLiteral elements: (String, JSONValue)...) {
        self = .object(elements.map { JSONMember($0.0, $0.1) })
    }
    public init(nilLiteral: ()) { self = .null }
}
