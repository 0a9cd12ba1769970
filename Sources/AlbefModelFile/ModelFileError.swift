import AlbefFiles

/// What can be wrong with a model file.
public enum ModelFileError: ClassifiedError, Equatable {
    /// The file itself cannot be opened, read or written.
    case file(FileError)
    /// It does not begin as a model file does.
    case notAModel(path: String)
    /// It was written for a newer runtime.
    case newerVersion(path: String, found: String, supported: String)
    /// `field` is `found`, where `expected` should stand.
    case malformed(path: String, field: String, found: String, expected: String)
    /// The bytes of a part are not those whose SHA-256 the file holds.
    case wrongSum(path: String, part: String)
    /// The model lacks a tensor: it has no such head or stack.
    case missingTensor(path: String, name: String)
    /// A tensor has another shape or type than the model's configuration asks for.
    case wrongTensor(path: String, name: String, found: String, expected: String)
    /// What should be written cannot stand in a model file: `field` is `found`, where `expected` should stand.
    case unwritable(path: String, field: String, found: String, expected: String)

    public var kind: FailureKind {
        switch self {
        case .file(let error): error.kind
        default: .badData
        }
    }

    public var description: String {
        switch self {
        case .file(let error):
            error.description
        case .notAModel(let path):
            place(path) + "it does not begin as an .albef model file does. Make one from a checkpoint with albef-export."
        case .newerVersion(let path, let found, let supported):
            place(path) + "its format version is \(found), newer than \(supported), the newest that this program reads. "
                + "Update this program, or export the model again with this version's albef-export."
        case .malformed(let path, let field, let found, let expected):
            place(path) + singleLine(field) + " is " + singleLine(found) + ", expected " + singleLine(expected)
                + ". The file is damaged or cut short: copy it again, or export it again with albef-export."
        case .wrongSum(let path, let part):
            place(path) + "the SHA-256 of the " + singleLine(part) + " differs from the one in the file. "
                + "The file is damaged: copy it again, or export it again with albef-export."
        case .missingTensor(let path, let name):
            place(path) + "the model has no tensor '" + singleLine(name)
                + "', which this needs. Export a checkpoint that has it with albef-export."
        case .wrongTensor(let path, let name, let found, let expected):
            place(path) + "tensor '" + singleLine(name) + "' has " + singleLine(found) + ", expected "
                + singleLine(expected) + ". Export it again with albef-export."
        case .unwritable(let path, let field, let found, let expected):
            place(path) + "not written: " + singleLine(field) + " is " + singleLine(found) + ", expected "
                + singleLine(expected) + "."
        }
    }

    private func place(_ path: String) -> String { singleLine(path, limit: 4096) + ": " }
}
