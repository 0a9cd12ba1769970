import Foundation
import Testing

/// What the kernels may call: exact arithmetic, memory moves and the thread team. Everything else could differ from one C
/// library to the next, or allocate.
private let allowedSymbols: Set<String> = [
    "fmaf", "sqrtf", "rintf", "memcpy", "memset", "memmove", "memcmp", "bzero",
    "_GLOBAL_OFFSET_TABLE_", "__cpu_model", "__cpu_indicator_init", "__cpu_features2", "__stack_chk_fail",
    // ARM64: which instruction sets the CPU has.
    "getauxval",
    // A thread's own team, and how its members wait.
    "__tls_get_addr", "sched_yield", "nanosleep",
]

/// The last: atomic operations that the compiler's own runtime picks on ARM64.
private let allowedPrefixes = ["alb_", "omp_", "kmp_", "__kmpc_", "__aarch64_"]

/// Symbols that the planning of image resizing needs in double precision (Pillow computes its filter weights so), and
/// comparison, whose results are reports and no tensors.
private let allowedDoublePrecision: Set<String> = ["sqrt", "fabs"]

@Suite("Symbols of the kernels")
struct SymbolTests {
    @Test("the kernels call nothing but exact arithmetic, memory moves and the thread team")
    func undefinedSymbols() throws {
        let objects = try kernelObjects()
        #expect(objects.count >= 2)
        for object in objects {
            for symbol in try symbols(of: object).filter({ $0.kind == "U" }).map(\.name) {
                let allowed =
                    allowedSymbols.contains(symbol) || allowedDoublePrecision.contains(symbol)
                    || allowedPrefixes.contains(where: symbol.hasPrefix)
                #expect(allowed, "\(object.lastPathComponent) needs '\(symbol)'")
            }
        }
    }

    @Test("every symbol that a kernel exports begins with alb_")
    func exportedSymbols() throws {
        var count = 0
        for object in try kernelObjects() {
            for symbol in try symbols(of: object) where "TDBRVWC".contains(symbol.kind) {
                count += 1
                #expect(symbol.name.hasPrefix("alb_"), "\(object.lastPathComponent) exports '\(symbol.name)'")
            }
        }
        #expect(count > 3)
    }

    /// The object files of CAlbefKernels beside this test's own.
    private func kernelObjects() throws -> [URL] {
        var folder = URL(filePath: try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe"))
        if !folder.path.contains("/.build") { folder = URL(filePath: CommandLine.arguments[0]) }
        folder.deleteLastPathComponent()
        let build = folder.appending(path: "CAlbefKernels.build")
        let walk = FileManager.default.enumerator(atPath: build.path)
        let names = (walk?.allObjects as? [String] ?? []).filter { $0.hasSuffix(".o") }.sorted()
        return names.map { build.appending(path: $0) }
    }

    private func symbols(of object: URL) throws -> [(kind: Character, name: String)] {
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/env")
        process.arguments = ["nm", "-P", object.path]
        let output = Pipe()
        process.standardOutput = output
        try process.run()
        let data = output.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        #expect(process.terminationStatus == 0, "nm could not read \(object.path)")
        return String(decoding: data, as: UTF8.self).split(separator: "\n").compactMap { line in
            let fields = line.split(separator: " ")
            guard fields.count >= 2, let kind = fields[1].first else { return nil }
            return (kind, String(fields[0]))
        }
    }
}
