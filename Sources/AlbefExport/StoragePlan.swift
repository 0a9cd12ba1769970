import AlbefModelFile

/// How the weights of a model are stored: which matrices stay in float, and which layers' inputs are smoothed.
struct StoragePlan: Sendable {
    /// Of the matrices that are not listed below, heads apart.
    var precision: Precision
    /// Matrices that stay float32 in an int8 model, by name.
    var floats: Set<String> = []
    /// Exact changes of weights before they are packed.
    var folds: [Fold] = []

    /// True if a matrix is stored as int8.
    func isInt8(_ entry: LayoutEntry) -> Bool {
        guard case .matrix = entry.form else { return false }
        return precision == .int8 && !floats.contains(entry.name)
    }
}
