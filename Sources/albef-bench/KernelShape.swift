import AlbefKernels

/// A line of the list of shapes: one kernel to measure.
struct KernelShape {
    /// A linear layer.
    struct Linear {
        let rows, channels, depth: Int
        let gelu, residual: Bool
    }

    enum Operation {
        case linear(Linear)
        case rows(RowsWorkload.Operation)
    }

    let name: String
    let operation: Operation

    /// - Parameter line: Operation, name, its numbers, and words such as `gelu`; nil for any other text.
    init?(_ line: Substring) {
        let fields = line.split(separator: " ").map(String.init)
        guard fields.count > 2 else { return nil }
        name = fields[1]
        let numbers = fields[2...].prefix { $0.first?.isNumber == true }.compactMap { Int($0) }
        let words = fields[(2 + numbers.count)...]
        guard numbers.allSatisfy({ (1...100_000).contains($0) }), words.isEmpty || fields[0] == "linear" else { return nil }
        switch (fields[0], numbers.count) {
        case ("linear", 3):
            guard numbers[2] <= 32768, words.allSatisfy({ $0 == "gelu" || $0 == "residual" }) else { return nil }
            operation = .linear(
                Linear(
                    rows: numbers[0], channels: numbers[1], depth: numbers[2], gelu: words.contains("gelu"),
                    residual: words.contains("residual")))
        case ("attention_s8", 4):
            operation = .rows(.attention(queries: numbers[0], keys: numbers[1], heads: numbers[2], width: numbers[3]))
        case ("quantize_keys_values", 3):
            operation = .rows(.quantizeKeysValues(tokens: numbers[0], heads: numbers[1], width: numbers[2]))
        case ("quantize_rows", 2): operation = .rows(.quantizeRows(rows: numbers[0], columns: numbers[1]))
        case ("layer_norm", 2): operation = .rows(.layerNorm(rows: numbers[0], columns: numbers[1]))
        default: return nil
        }
    }
}
