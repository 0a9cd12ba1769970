import AlbefKernels
import Testing

@Suite("Kernels to be timed")
struct WorkloadTests {
    private static let operations: [(RowsWorkload.Operation, products: Double, bytes: Double)] = [
        (.attention(queries: 3, keys: 17, heads: 2, width: 20), 2 * 3 * 17 * 40, (8 * 3 + 2 * 17) * 40),
        (.quantizeKeysValues(tokens: 5, heads: 2, width: 8), 0, 10 * 5 * 16),
        (.quantizeRows(rows: 3, columns: 17), 0, 5 * 51), (.layerNorm(rows: 4, columns: 9), 0, 8 * 36),
    ]

    @Test("each kernel runs with one thread and with many, and counts its products and bytes", arguments: [1, 3, 64])
    func rows(threads: Int) throws {
        let kernels = try Kernels(threads: threads)
        for (operation, products, bytes) in WorkloadTests.operations {
            let workload = RowsWorkload(operation)
            #expect(workload.multiplyAdds == products, "\(operation)")
            #expect(workload.bytes == bytes, "\(operation)")
            for _ in 0..<3 { #expect(workload.run(kernels) > 0, "\(operation)") }
        }
    }

    @Test("a linear layer is timed in each form, with what stands behind its product")
    func linear() throws {
        let workload = LinearWorkload(rows: 3, channels: 20, depth: 12, activation: .gelu, addsResidual: true)
        #expect(workload.multiplyAdds == 720)
        let times = try workload.run(Kernels(threads: 2))
        #expect(times.int8 > 0 && times.float32 > 0 && times.quantization > 0)
        var other = times
        (other.quantization, other.int8) = (0, times.int8 + 9)
        #expect(times.best(other).quantization == 0 && times.best(other).int8 == times.int8)
    }
}
