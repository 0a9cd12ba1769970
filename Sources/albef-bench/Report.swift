import AlbefFiles
import AlbefKernels

/// Prints measurements, as lines of a table or as JSON objects.
struct Report {
    let json: Bool

    func peak(_ kernels: Kernels, int8: Double, float32: Double, bandwidth: Double) {
        if json {
            print(
                JSONValue.object([
                    "measurement": JSONValue("peak"), "isa": JSONValue(kernels.isa.rawValue),
                    "threads": JSONValue(kernels.threads), "int8_gmacs": JSONValue(int8),
                    "float32_gmacs": JSONValue(float32), "read_gbytes": JSONValue(bandwidth),
                ]).text)
        } else {
            print(
                "peak, \(kernels.isa.rawValue), \(kernels.threads) threads: int8 \(fixed(int8)) GMAC/s, "
                    + "float32 \(fixed(float32)) GMAC/s, reading memory \(fixed(bandwidth)) GB/s")
        }
    }

    func variants(_ variants: [KernelReport]) {
        if json { return }
        print("variants: " + variants.map { "\($0.operation) \($0.variant)" }.joined(separator: ", "))
        print(
            column("layer", 20, left: true) + column("rows", 6) + column("channels", 10) + column("depth", 7)
                + column("threads", 9) + column("int8", 8) + column("share", 7) + column("quantised", 11)
                + column("float32", 9) + column("share", 7) + "  (GMAC/s)")
    }

    /// - Parameter times: The best of all runs.
    func linear(
        _ shape: LinearShape, _ kernels: Kernels, _ times: LinearWorkload.Times, gigaMACs: Double, int8Peak: Double,
        float32Peak: Double
    ) {
        let int8 = gigaMACs / times.int8, float32 = gigaMACs / times.float32
        let quantized = gigaMACs / (times.int8 + times.quantization)
        if json {
            print(
                JSONValue.object([
                    "measurement": JSONValue("linear"), "layer": JSONValue(shape.name), "rows": JSONValue(shape.rows),
                    "channels": JSONValue(shape.channels), "depth": JSONValue(shape.depth),
                    "threads": JSONValue(kernels.threads), "int8_gmacs": JSONValue(int8),
                    "int8_share": JSONValue(int8 / int8Peak), "with_quantization_gmacs": JSONValue(quantized),
                    "float32_gmacs": JSONValue(float32), "float32_share": JSONValue(float32 / float32Peak),
                ]).text)
        } else {
            print(
                column(shape.name, 20, left: true) + column("\(shape.rows)", 6) + column("\(shape.channels)", 10)
                    + column("\(shape.depth)", 7) + column("\(kernels.threads)", 9) + column(fixed(int8), 8)
                    + column(percent(int8 / int8Peak), 7) + column(fixed(quantized), 11) + column(fixed(float32), 9)
                    + column(percent(float32 / float32Peak), 7))
        }
    }

    private func column(_ text: String, _ width: Int, left: Bool = false) -> String {
        let space = String(repeating: " ", count: max(0, width - text.count))
        return left ? text + space : space + text
    }

    /// One digit behind the point.
    private func fixed(_ value: Double) -> String {
        let tenths = Int((value * 10).rounded())
        return "\(tenths / 10).\(tenths % 10)"
    }

    private func percent(_ share: Double) -> String { "\(Int((share * 100).rounded())) %" }
}
