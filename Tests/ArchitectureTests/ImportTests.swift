import Foundation
import Testing

/// Which target may import which module: the layers of the package, from the bottom up. The compiler enforces only what
/// `Package.swift` declares; this table is what `Package.swift` is meant to declare.
private let allowedImports: [String: Set<String>] = [
    "AlbefTensor": ["Glibc"],
    "AlbefTokenizer": [],
    "AlbefFiles": ["AlbefTensor", "CSha256", "Glibc"],
    "AlbefKernels": ["CAlbefKernels", "AlbefTensor"],
    "AlbefModelFile": ["AlbefTensor", "AlbefFiles", "CZstd"],
    "AlbefImage": ["AlbefTensor", "AlbefFiles", "AlbefKernels", "CImageCodecs"],
    "AlbefLayers": ["AlbefTensor", "AlbefKernels", "AlbefModelFile"],
    "Albef": [
        "AlbefTensor", "AlbefFiles", "AlbefKernels", "AlbefLayers", "AlbefModelFile", "AlbefTokenizer", "AlbefImage",
    ],
    // Calibration runs the model on pictures.
    "AlbefExport": [
        "AlbefTensor", "AlbefFiles", "AlbefKernels", "AlbefModelFile", "AlbefTokenizer", "AlbefImage", "Albef",
    ],
    "albef-infer": commandImports,
    "albef-export": commandImports,
    "albef-bench": commandImports,
]

/// Commands decode pictures and write overlays, so they stand on AlbefImage too; all computing is the library's.
private let commandImports: Set<String> = [
    "Albef", "AlbefExport", "AlbefFiles", "AlbefImage", "AlbefKernels", "ArgumentParser",
]

/// Headers that the C targets may include beside their own.
private let allowedHeaders: [String: Set<String>] = [
    "CAlbefKernels": standardHeaders.union([
        "immintrin.h", "xmmintrin.h", "arm_neon.h", "stdatomic.h", "cpuid.h", "sys/auxv.h", "sched.h", "time.h",
    ]),
    "CImageCodecs": standardHeaders.union(["jpeglib.h", "jerror.h", "png.h", "setjmp.h", "stdio.h"]),
    "CSha256": standardHeaders.union(["immintrin.h", "cpuid.h"]),
    "CZstd": ["zstd.h"],
]

private let standardHeaders: Set<String> = [
    "stdbool.h", "stddef.h", "stdint.h", "stdlib.h", "string.h", "limits.h", "math.h", "float.h",
]

@Suite("Imports follow the layers")
struct ImportTests {
    @Test("every Swift target imports only what its layer may")
    func swiftImports() throws {
        let files = try SourceTree.files(in: "Sources", endings: [".swift"])
        #expect(files.count > 12)
        for file in files {
            let allowed = try #require(allowedImports[file.target], "\(file): a target without a row in the table")
            for line in file.lines {
                guard let module = importedModule(line) else { continue }
                #expect(allowed.contains(module), "\(file) imports \(module)")
            }
        }
    }

    @Test("every C target includes only its own headers and those it stands on")
    func headers() throws {
        let files = try SourceTree.files(in: "Sources", endings: [".c", ".h"])
        #expect(files.count > 6)
        for file in files {
            let allowed = try #require(allowedHeaders[file.target], "\(file): a C target without a row in the table")
            for line in file.lines where line.hasPrefix("#include <") || line.hasPrefix("#    include <") {
                let name = line.split(separator: "<")[1].prefix { $0 != ">" }
                #expect(allowed.contains(String(name)), "\(file) includes <\(name)>")
            }
        }
    }

    @Test("OpenMP is used in one file alone")
    func openMP() throws {
        let files = try SourceTree.files(in: "Sources", endings: [".c", ".h"])
        let users = files.filter { $0.lines.contains { $0.contains("#pragma omp") || $0.contains("omp_set_num_threads") } }
        #expect(users.map(\.path) == ["Sources/CAlbefKernels/common/threads.c"])
    }

    /// The top module of an import line, whatever stands before or behind the keyword.
    private func importedModule(_ line: String) -> String? {
        let words = SourceTree.code(of: line).split { $0 == " " || $0 == "\t" }.map(String.init)
        guard let index = words.firstIndex(of: "import"), words[..<index].allSatisfy(isImportModifier) else { return nil }
        let kinds: Set<String> = ["struct", "class", "enum", "protocol", "typealias", "func", "let", "var"]
        guard let module = words[(index + 1)...].first(where: { !kinds.contains($0) }) else { return nil }
        return String(module.prefix { $0 != "." })
    }

    private func isImportModifier(_ word: String) -> Bool {
        word.hasPrefix("@") || ["public", "package", "internal", "private", "fileprivate"].contains(word)
    }
}
