import AlbefFiles
import AlbefKernels
import ArgumentParser

@main
struct AlbefBench: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "albef-bench",
        abstract: "Measures the kernels against what this machine can do at most.",
        discussion: """
            First the peaks: int8 and float32 multiply-adds in registers, and reading memory. Then every shape of the list, all \
            thread counts in turn, the best of many runs. Nothing else should run meanwhile.
            """)

    @Option(help: "A text file of shapes, a line each: name, rows, channels, depth.")
    var shapes = "fixtures/shapes/albef_384.txt"

    @Option(help: "Thread counts to compare.")
    var threads: [Int] = [1, 2]

    @Option(help: "Instruction set: the ceiling for the variants (default: the best of this CPU).")
    var isa: String?

    @Option(help: "Seconds for each shape and thread count.")
    var seconds = 0.3

    @Flag(help: "One JSON object a line.")
    var json = false

    func validate() throws {
        guard threads.allSatisfy({ (1...Kernels.maximumThreads).contains($0) }) else {
            throw ValidationError("--threads takes numbers from 1 to \(Kernels.maximumThreads)")
        }
        guard seconds > 0, seconds <= 60 else { throw ValidationError("--seconds takes a number above 0 and up to 60") }
        _ = try chosenISA()
    }

    func run() throws {
        let list = try readShapes()
        let isa = try chosenISA()
        let kernels = try threads.map { try Kernels(isa: isa, threads: $0) }
        let report = Report(json: json)
        let peaks = kernels.map { kernels in
            let peak = kernels.measurePeak()
            let bandwidth = kernels.measureReadBandwidth()
            report.peak(kernels, int8: peak.int8GMACs, float32: peak.float32GMACs, bandwidth: bandwidth)
            return peak
        }
        report.variants(kernels.first?.variants() ?? [])
        for shape in list {
            let workload = LinearWorkload(rows: shape.rows, channels: shape.channels, depth: shape.depth)
            for (index, best) in measure(workload, kernels).enumerated() {
                report.linear(
                    shape, kernels[index], best, gigaMACs: workload.multiplyAdds / 1e9, int8Peak: peaks[index].int8GMACs,
                    float32Peak: peaks[index].float32GMACs)
            }
        }
    }

    /// The best times for each of the kernels, which take turns.
    private func measure(_ workload: LinearWorkload, _ kernels: [Kernels]) -> [LinearWorkload.Times] {
        var best = kernels.map { workload.run($0) }
        let clock = ContinuousClock()
        let end = clock.now + .seconds(seconds * Double(kernels.count))
        while clock.now < end {
            for index in kernels.indices { best[index] = best[index].best(workload.run(kernels[index])) }
        }
        return best
    }

    private func chosenISA() throws -> ISA {
        guard let isa else { return .best }
        do { return try ISA.named(isa) } catch { throw ValidationError(error.description) }
    }

    private func readShapes() throws -> [LinearShape] {
        let bytes = try readFile(shapes, limit: 1 << 20)
        let lines = String(decoding: bytes, as: UTF8.self).split(separator: "\n", omittingEmptySubsequences: false)
        var result: [LinearShape] = []
        for (number, line) in lines.enumerated() where !line.isEmpty && !line.hasPrefix("#") {
            guard let shape = LinearShape(line) else {
                throw ValidationError("\(shapes):\(number + 1): expected a name and three numbers from 1 to 100000")
            }
            result.append(shape)
        }
        return result
    }
}

/// A linear layer to measure.
struct LinearShape {
    let name: String
    let rows, channels, depth: Int

    init?(_ line: Substring) {
        let fields = line.split(separator: " ")
        let numbers = fields.dropFirst().compactMap { Int($0) }
        guard fields.count == 4, numbers.count == 3, numbers.allSatisfy({ (1...100_000).contains($0) }), numbers[2] <= 32768
        else { return nil }
        (name, rows, channels, depth) = (String(fields[0]), numbers[0], numbers[1], numbers[2])
    }
}
