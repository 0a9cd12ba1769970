import Foundation

/// The checkout that these tests were built from.
enum SourceTree {
    static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    /// A file of the checkout.
    struct File: CustomStringConvertible {
        /// The folder under `Sources/` or `Tests/` that holds it.
        let target: String
        /// Path from the checkout's root.
        let path: String
        let lines: [String]
        var description: String { path }
    }

    /// All files below `folder` ("Sources" or "Tests") with one of the given name endings, sorted by path.
    static func files(in folder: String, endings: [String]) throws -> [File] {
        let top = root.appending(path: folder)
        guard let walk = FileManager.default.enumerator(atPath: top.path) else { return [] }
        var files: [File] = []
        for case let relative as String in walk where endings.contains(where: relative.hasSuffix) {
            let text = try String(contentsOf: top.appending(path: relative), encoding: .utf8)
            files.append(
                File(
                    target: String(relative.prefix { $0 != "/" }), path: folder + "/" + relative,
                    lines: text.components(separatedBy: "\n")))
        }
        return files.sorted { $0.path < $1.path }
    }

    /// A line without its comment and its string literals: what the compiler sees as words.
    static func code(of line: String) -> String {
        var result = ""
        var inString = false
        var previous: Character = " "
        for character in line {
            if character == "\"" && previous != "\\" { inString.toggle() }
            if !inString && character == "/" && previous == "/" { return String(result.dropLast()) }
            if !inString { result.append(character) }
            previous = character
        }
        return result
    }
}
