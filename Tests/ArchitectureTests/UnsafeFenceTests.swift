import Foundation
import Testing

/// Targets whose work is memory: mapped files, the arena, the border to the kernels.
private let unsafeTargets: Set<String> = ["AlbefTensor", "AlbefFiles", "AlbefKernels", "AlbefModelFile"]

/// The few lines at the border to the image codecs.
private let unsafeFiles: Set<String> = ["Sources/AlbefImage/ImageCodecs.swift"]

private let fencedWords: Set<String> = ["unsafe", "@unsafe", "@safe", "@unchecked", "unsafeBitCast"]

@Suite("Unsafe code stays behind its fence")
struct UnsafeFenceTests {
    @Test("no target outside the fence acknowledges unsafe use")
    func fence() throws {
        for file in try SourceTree.files(in: "Sources", endings: [".swift"]) {
            if unsafeTargets.contains(file.target) || unsafeFiles.contains(file.path) { continue }
            for (number, line) in file.lines.enumerated() {
                let words = SourceTree.code(of: line).split { !($0.isLetter || $0 == "@") }.map(String.init)
                for word in words where fencedWords.contains(word) {
                    Issue.record("\(file):\(number + 1) uses '\(word)'")
                }
            }
        }
    }

    @Test("every Swift target is compiled with strict memory safety as an error")
    func settings() throws {
        let manifest = try String(contentsOf: SourceTree.root.appending(path: "Package.swift"), encoding: .utf8)
        #expect(manifest.contains(".strictMemorySafety()"))
        #expect(manifest.contains(".treatWarning(\"StrictMemorySafety\", as: .error)"))
        let sources = try FileManager.default.contentsOfDirectory(
            atPath: SourceTree.root.appending(path: "Sources").path)
        for target in sources.sorted() where !target.hasPrefix("C") {
            let start = try #require(
                manifest.range(of: "name: \"\(target)\"", range: declarations(in: manifest)), "\(target) is not declared")
            let rest = manifest[start.upperBound...]
            let end = rest.range(of: "arget(")?.lowerBound ?? rest.endIndex
            let declaration = rest[..<end]
            #expect(
                declaration.contains("swiftSettings: swiftSettings") || declaration.contains("swiftSettings: spanSettings"),
                "\(target) has settings of its own")
        }
    }

    @Test("library code never prints, exits or stops on bad input")
    func noPrinting() throws {
        let banned = ["print(", "exit(", "abort(", "fatalError(", "try!", "debugPrint("]
        for file in try SourceTree.files(in: "Sources", endings: [".swift"]) where !file.target.hasPrefix("albef-") {
            for (number, line) in file.lines.enumerated() {
                let code = SourceTree.code(of: line)
                for word in banned where contains(code, word) { Issue.record("\(file):\(number + 1) uses '\(word)'") }
            }
        }
    }

    /// Everything behind `targets: [`, where the targets are declared.
    private func declarations(in manifest: String) -> Range<String.Index> {
        let start = manifest.range(of: "    targets: [")?.upperBound ?? manifest.startIndex
        return start..<manifest.endIndex
    }

    /// True if `word` stands in `code` and not as the end of a longer name.
    private func contains(_ code: String, _ word: String) -> Bool {
        var rest = code[...]
        while let range = rest.range(of: word) {
            if range.lowerBound == rest.startIndex { return rest.startIndex == code.startIndex }
            let before = rest[rest.index(before: range.lowerBound)]
            if !(before.isLetter || before.isNumber || before == "_" || before == ".") { return true }
            rest = rest[range.upperBound...]
        }
        return false
    }
}
