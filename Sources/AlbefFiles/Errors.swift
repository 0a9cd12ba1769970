/// What kind of failure an error is: it decides a command's exit code (the raw values, those of BSD `sysexits.h`).
public enum FailureKind: Int32, Sendable {
    /// The caller asked for something that cannot be asked.
    case usage = 64
    /// A file, picture, text or model is not what it should be.
    case badData = 65
    /// A named file or folder does not exist.
    case missingInput = 66
    /// Our own fault.
    case internalFault = 70
    /// The system could not read or write.
    case inputOutput = 74
}

/// An error that says what kind of failure it is. Its `description` is one line: what happened, where, found against
/// expected, and what to do.
public protocol ClassifiedError: Error, CustomStringConvertible, Sendable {
    var kind: FailureKind { get }
}

/// What can go wrong with a file.
public enum FileError: ClassifiedError, Equatable {
    /// No such file or folder.
    case missing(path: String)
    /// The system refuses to read it; `reason` is the system's text.
    case unreadable(path: String, reason: String)
    /// The system refuses to write it; `reason` is the system's text.
    case unwritable(path: String, reason: String)
    /// Its contents break their format: `field` is `found`, where `expected` should stand.
    case malformed(path: String, field: String, found: String, expected: String)

    public var kind: FailureKind {
        switch self {
        case .missing: .missingInput
        case .unreadable, .unwritable: .inputOutput
        case .malformed: .badData
        }
    }

    public var description: String {
        switch self {
        case .missing(let path):
            singleLine(path, limit: 4096) + ": no such file or folder. Check the path."
        case .unreadable(let path, let reason):
            singleLine(path, limit: 4096) + ": cannot be read: " + singleLine(reason) + "."
        case .unwritable(let path, let reason):
            singleLine(path, limit: 4096) + ": cannot be written: " + singleLine(reason) + "."
        case .malformed(let path, let field, let found, let expected):
            singleLine(path, limit: 4096) + ": " + singleLine(field) + " is " + singleLine(found) + ", expected "
                + singleLine(expected) + ". The file is damaged, cut short or of another kind."
        }
    }
}

/// Text from outside, fit for one line of an error message: control characters are escaped, and what exceeds `limit` UTF-8
/// bytes is replaced by "…".
public func singleLine(_ text: String, limit: Int = 300) -> String {
    var result = ""
    var size = 0
    for scalar in text.unicodeScalars {
        let piece = isPlain(scalar) ? String(scalar) : "\\u{" + String(scalar.value, radix: 16) + "}"
        size += piece.utf8.count
        if size > limit { return result + "…" }
        result += piece
    }
    return result
}

/// False for control characters, line and paragraph separators, and the marks that change the direction of text.
private func isPlain(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.value {
    case 0..<0x20, 0x7F..<0xA0, 0x2028...0x202E, 0x2066...0x2069: false
    default: true
    }
}
