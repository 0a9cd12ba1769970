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
            thread counts in turn, the best of many runs. Products are shown as a share of the peak, other kernels as a share \
            of the memory's bandwidth, above 100 % where caches hold what they read. Nothing else should run meanwhile.
            """)

    @Option(help: "A text file of shapes, a line each: operation, name, sizes.")
    var shapes = "fixtures/shapes/albef_384.txt"

    @Option(parsing: .upToNextOption, help: "Thread counts to compare (default: 1 and one for each processor).")
    var threads: [Int] = Kernels.availableProcessors > 1 ? [1, Kernels.availableProcessors] : [1]

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
            let peaks = Peaks(int8: peak.int8GMACs, float32: peak.float32GMACs, bandwidth: bandwidth)
            report.peak(kernels, peaks)
            return peaks
        }
        report.variants(kernels.first?.variants() ?? [])
        report.linearHead()
        for shape in list {
            guard case .linear(let layer) = shape.operation else { continue }
            let workload = LinearWorkload(
                rows: layer.rows, channels: layer.channels, depth: layer.depth, activation: layer.gelu ? .gelu : .none,
                addsResidual: layer.residual)
            for (index, best) in turns(kernels, workload.run, best: { $0.best($1) }).enumerated() {
                report.linear(
                    shape.name, layer, kernels[index], best, gigaMACs: workload.multiplyAdds / 1e9,
                    int8Peak: peaks[index].int8, float32Peak: peaks[index].float32)
            }
        }
        report.rowsHead()
        for shape in list {
            guard case .rows(let operation) = shape.operation else { continue }
            let workload = RowsWorkload(operation)
            for (index, best) in turns(kernels, workload.run, best: min).enumerated() {
                report.rows(shape.name, workload, kernels[index], best, peaks[index])
            }
        }
    }

    /// The best times for each of the kernels, which take turns.
    private func turns<Times>(_ kernels: [Kernels], _ run: (Kernels) -> Times, best: (Times, Times) -> Times) -> [Times] {
        var result = kernels.map(run)
        let clock = ContinuousClock()
        let end = clock.now + .seconds(seconds * Double(kernels.count))
        while clock.now < end {
            for index in kernels.indices { result[index] = best(result[index], run(kernels[index])) }
        }
        return result
    }

    private func chosenISA() throws -> ISA {
        guard let isa else { return .best }
        do { return try ISA.named(isa) } catch { throw ValidationError(error.description) }
    }

    private func readShapes() throws -> [KernelShape] {
        let bytes = try readFile(shapes, limit: 1 << 20)
        let lines = String(decoding: bytes, as: UTF8.self).split(separator: "\n", omittingEmptySubsequences: false)
        var result: [KernelShape] = []
        for (number, line) in lines.enumerated() where !line.isEmpty && !line.hasPrefix("#") {
            guard let shape = KernelShape(line) else {
                throw ValidationError("\(shapes):\(number + 1): expected an operation, a name and its numbers from 1 to 100000")
            }
            result.append(shape)
        }
        return result
    }
}
