import AlbefFiles
import AlbefKernels

/// What the machine does at most with some threads: 10⁹ multiply-adds and 10⁹ bytes a second.
struct Peaks {
    let int8, float32, bandwidth: Double
}

/// Prints measurements, as lines of a table or as JSON objects.
struct Report {
    let json: Bool

    func peak(_ kernels: Kernels, _ peaks: Peaks) {
        if json {
            print(
                JSONValue.object([
                    "measurement": JSONValue("peak"), "isa": JSONValue(kernels.isa.rawValue),
                    "threads": JSONValue(kernels.threads), "int8_gmacs": JSONValue(peaks.int8),
                    "float32_gmacs": JSONValue(peaks.float32), "read_gbytes": JSONValue(peaks.bandwidth),
                ]).text)
        } else {
            print(
                "peak, \(kernels.isa.rawValue), \(kernels.threads) threads: int8 \(fixed(peaks.int8)) GMAC/s, "
                    + "float32 \(fixed(peaks.float32)) GMAC/s, reading memory \(fixed(peaks.bandwidth)) GB/s")
        }
    }

    func variants(_ variants: [KernelReport]) {
        if json { return }
        print("variants: " + variants.map { "\($0.operation) \($0.variant)" }.joined(separator: ", "))
    }

    func linearHead() {
        if json { return }
        print(
            column("layer", 20, left: true) + column("rows", 6) + column("channels", 10) + column("depth", 7)
                + column("threads", 9) + column("int8", 8) + column("share", 7) + column("quantised", 11)
                + column("float32", 9) + column("share", 7) + "  (GMAC/s)")
    }

    /// - Parameter times: The best of all runs.
    func linear(
        _ name: String, _ layer: KernelShape.Linear, _ kernels: Kernels, _ times: LinearWorkload.Times, gigaMACs: Double, int8Peak: Double,
        float32Peak: Double
    ) {
        let int8 = gigaMACs / times.int8, float32 = gigaMACs / times.float32
        let quantized = gigaMACs / (times.int8 + times.quantization)
        if json {
            print(
                JSONValue.object([
                    "measurement": JSONValue("linear"), "layer": JSONValue(name), "rows": JSONValue(layer.rows),
                    "channels": JSONValue(layer.channels), "depth": JSONValue(layer.depth),
                    "threads": JSONValue(kernels.threads), "int8_ms": JSONValue(times.int8 * 1e3),
                    "quantization_ms": JSONValue(times.quantization * 1e3), "int8_gmacs": JSONValue(int8),
                    "int8_share": JSONValue(int8 / int8Peak), "with_quantization_gmacs": JSONValue(quantized),
                    "float32_gmacs": JSONValue(float32), "float32_share": JSONValue(float32 / float32Peak),
                ]).text)
        } else {
            print(
                column(name, 20, left: true) + column("\(layer.rows)", 6) + column("\(layer.channels)", 10)
                    + column("\(layer.depth)", 7) + column("\(kernels.threads)", 9) + column(fixed(int8), 8)
                    + column(percent(int8 / int8Peak), 7) + column(fixed(quantized), 11) + column(fixed(float32), 9)
                    + column(percent(float32 / float32Peak), 7))
        }
    }

    func rowsHead() {
        if json { return }
        print(
            column("kernel", 20, left: true) + column("threads", 9) + column("ms", 9) + column("GMAC/s", 9) + column("share", 7)
                + column("GB/s", 9) + column("share", 7))
    }

    /// - Parameter seconds: The best of all runs.
    func rows(_ name: String, _ workload: RowsWorkload, _ kernels: Kernels, _ seconds: Double, _ peaks: Peaks) {
        let rate = workload.multiplyAdds / seconds / 1e9, bandwidth = workload.bytes / seconds / 1e9
        if json {
            print(
                JSONValue.object([
                    "measurement": JSONValue("rows"), "kernel": JSONValue(name), "threads": JSONValue(kernels.threads),
                    "ms": JSONValue(seconds * 1e3), "int8_gmacs": JSONValue(rate), "int8_share": JSONValue(rate / peaks.int8),
                    "gbytes": JSONValue(bandwidth), "bandwidth_share": JSONValue(bandwidth / peaks.bandwidth),
                ]).text)
        } else {
            let products = rate > 0 ? [fixed(rate), percent(rate / peaks.int8)] : ["", ""]
            print(
                column(name, 20, left: true) + column("\(kernels.threads)", 9) + column(fixed(seconds * 1e3, 3), 9)
                    + column(products[0], 9) + column(products[1], 7) + column(fixed(bandwidth), 9)
                    + column(percent(bandwidth / peaks.bandwidth), 7))
        }
    }

    private func column(_ text: String, _ width: Int, left: Bool = false) -> String {
        let space = String(repeating: " ", count: max(0, width - text.count))
        return left ? text + space : space + text
    }

    /// Some digits behind the point, at least one.
    private func fixed(_ value: Double, _ digits: Int = 1) -> String {
        let scale = (0..<digits).reduce(1) { product, _ in product * 10 }
        let rounded = Int((value * Double(scale)).rounded())
        let fraction = String(rounded % scale)
        return "\(rounded / scale)." + String(repeating: "0", count: digits - fraction.count) + fraction
    }

    private func percent(_ share: Double) -> String { "\(Int((share * 100).rounded())) %" }
}
