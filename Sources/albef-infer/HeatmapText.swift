import AlbefFiles
import AlbefImage

extension Heatmap {
    /// `rows`, `columns` and `values`, row after row.
    var json: JSONValue {
        ["rows": JSONValue(rows), "columns": JSONValue(columns), "values": JSONValue(values)]
    }

    /// The map in ten shades of text, two characters a patch so that it looks square.
    var shades: String {
        let ramp = Array(" .:-=+*#%@")
        let top = values.max() ?? 0
        return (0..<rows).map { row in
            let cells = values[row * columns..<(row + 1) * columns].map { value in
                let shade = ramp[top > 0 ? min(9, Int(value / top * 9.999)) : 0]
                return "\(shade)\(shade)"
            }
            return "  |" + cells.joined() + "|"
        }.joined(separator: "\n")
    }
}
