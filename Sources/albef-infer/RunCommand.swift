import Albef
import AlbefFiles
import ArgumentParser

/// Answers many requests from one process, for programs that drive it.
struct RunCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run", abstract: "Answers requests from standard input, one JSON object a line, until it ends.",
        discussion: """
            A request is {"id": …, "command": "match", "image": "dog.jpg", "text": "a dog"}: the options of a command by \
            their long names, with true for a flag and a list for an option that may be repeated. Commands: \
            \(Request.commands.map(\.name).joined(separator: ", ")). Each request gets one line in its order: the id and the \
            members of the command's JSON, or {"id": …, "error": {"message": …, "code": …}} with the exit code that the \
            command would end with. The id is a string or a whole number. A line may have \(RunCommand.lineLimit) bytes; \
            blank lines are no requests.
            """)

    /// Bytes of a request at most.
    static let lineLimit = 1 << 20

    @OptionGroup var common: CommonOptions

    func run() throws {
        let context = try AnsweringContext(common.session(), keepsFiles: true)
        var lines = LineReader.standardInput(limit: RunCommand.lineLimit)
        while let line = try lines.next() {
            guard let response = response(to: line, context) else { continue }
            try StandardStreams.writeLine(response.text)
        }
    }

    /// The answer to a line; nil for a blank one.
    private func response(to line: LineReader.Line, _ context: AnsweringContext) -> JSONValue? {
        var id = JSONValue.null
        do {
            guard case .bytes(let bytes) = line else { throw RequestError.tooLong(limit: RunCommand.lineLimit) }
            if bytes.allSatisfy(RunCommand.isBlank) { return nil }
            let request = try Request(JSONValue(parsing: bytes), id: &id)
            let answer = try request.command(common).answer(in: context)
            return .object([JSONMember("id", id)] + (answer.json.members ?? []))
        } catch {
            let kind = (error as? any ClassifiedError)?.kind ?? .internalFault
            return ["id": id, "error": ["message": .string("\(error)"), "code": JSONValue(Int(kind.rawValue))]]
        }
    }

    private static func isBlank(_ byte: UInt8) -> Bool { [0x20, 0x09, 0x0D].contains(byte) }
}

/// One request of `run`: a command and its options.
struct Request {
    /// The commands that answer requests.
    static let commands: [(name: String, type: any AnsweringCommand.Type)] = [
        MatchCommand.self, SearchCommand.self, EmbedCommand.self, VQACommand.self, EntailCommand.self, ReasonCommand.self,
        GroundCommand.self, FillMaskCommand.self,
    ].map { type in (type.configuration.commandName ?? "", type) }

    private static let processOptions: Set = ["model", "threads", "isa", "json", "quiet"]

    private let type: any AnsweringCommand.Type
    private let arguments: [String]

    /// - Parameter id: Set as soon as the request tells it, so that an error can name it.
    init(_ json: JSONValue, id: inout JSONValue) throws(RequestError) {
        guard let members = json.members else { throw .notAnObject(found: json.kindName) }
        switch json["id"] {
        case nil, .null: break
        case .string(let text): id = .string(text)
        case .number(.integer(let number)): id = JSONValue(number)
        case .some(let other): throw .id(found: other.kindName)
        }
        let name = json["command"]?.string
        guard let command = Request.commands.first(where: { $0.name == name }) else {
            throw .command(found: name.map { "'\($0)'" } ?? json["command"]?.kindName ?? "nothing")
        }
        type = command.type
        var arguments: [String] = []
        for member in members where member.key != "id" && member.key != "command" {
            arguments += try Request.arguments(member, of: command.type)
        }
        self.arguments = arguments
    }

    /// One option as it would stand on a command line.
    private static func arguments(_ member: JSONMember, of type: any AnsweringCommand.Type) throws(RequestError) -> [String] {
        let key = member.key
        if processOptions.contains(key) { throw .processOption(key) }
        guard key.utf8.first.map(isLetter) == true, key.utf8.allSatisfy({ isLetter($0) || $0 == UInt8(ascii: "-") }) else {
            throw .option("unknown option '\(key)'")
        }
        let option = "--" + key
        switch member.value {
        case .null, .bool(false): return []
        case .bool(true): return [option]
        case .array(let values) where type.listOptions.contains(key):
            var arguments: [String] = []
            for value in values { arguments += argument(option, try text(value, key)) }
            return arguments
        case let value: return argument(option, try text(value, key))
        }
    }

    private static func isLetter(_ byte: UInt8) -> Bool { (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte) }

    private static func text(_ value: JSONValue, _ key: String) throws(RequestError) -> String {
        switch value {
        case .string(let text): return text
        case .number: return value.int.map { "\($0)" } ?? value.text
        case .null, .bool, .array, .object: throw .option("the value of '\(key)' is \(value.kindName), expected a text or a number")
        }
    }

    /// A value that begins with a dash would be taken for an option if it stood alone. (Any other stands alone: a combining
    /// character at its beginning would merge with an equals sign.)
    private static func argument(_ option: String, _ value: String) -> [String] {
        value.hasPrefix("-") ? [option + "=" + value] : [option, value]
    }

    /// The command with its options, checked as on a command line.
    func command(_ common: CommonOptions) throws(RequestError) -> any AnsweringCommand {
        let process = ["--model=" + common.model, "--json"] + (common.quiet ? ["--quiet"] : [])
        do {
            return try type.parse(process + arguments)
        } catch {
            // A request for help or the version is parsed as an error too, but not as a failure.
            let reason = type.exitCode(for: error) == .success ? "this option is for a command line" : type.message(for: error)
            throw .option(reason)
        }
    }
}

/// Why a line is no request.
enum RequestError: ClassifiedError {
    case tooLong(limit: Int)
    case notAnObject(found: String)
    case id(found: String)
    case command(found: String)
    /// An option that belongs to the whole process.
    case processOption(String)
    case option(String)

    var kind: FailureKind {
        switch self {
        case .tooLong, .notAnObject: .badData
        case .id, .command, .processOption, .option: .usage
        }
    }

    var description: String {
        switch self {
        case .tooLong(let limit): "the line has more than \(limit) bytes"
        case .notAnObject(let found): "the request is \(found), expected an object"
        case .id(let found): "the id is \(found), expected a string or a whole number"
        case .command(let found):
            "the command is \(singleLine(found)), expected one of \(Request.commands.map(\.name).joined(separator: ", "))"
        case .processOption(let key): "'\(key)' is set for the whole process and no option of a request"
        case .option(let reason): singleLine(reason, limit: 2000)
        }
    }
}
