import Albef
import AlbefFiles
import AlbefImage
import AlbefKernels
import ArgumentParser

/// What every command takes: the model, how to compute, and how to print.
struct CommonOptions: ParsableArguments {
    @Option(name: [.short, .long], help: ArgumentHelp("The model: one .albef file.", valueName: "file"))
    var model: String

    @Option(help: ArgumentHelp("Threads to use (default: what affinity and cgroup quota allow).", valueName: "n"))
    var threads: Int?

    @Option(
        help: ArgumentHelp(
            "Instruction set, as a ceiling: \(ISA.allCases.map(\.rawValue).joined(separator: ", ")).", valueName: "name"))
    var isa: String?

    @Flag(help: "One JSON object per line on standard output, and nothing else there.")
    var json = false

    @Flag(help: "No notes and no progress on standard error.")
    var quiet = false

    func validate() throws {
        if let threads, threads < 1 || threads > Kernels.maximumThreads {
            throw ValidationError("--threads takes 1 to \(Kernels.maximumThreads), found \(threads).")
        }
    }

    /// The kernels as asked for; the environment variable `ALBEF_FORCE_ISA` stands in for `--isa` in test suites.
    func kernels() throws -> Kernels {
        let name = isa ?? environmentVariable("ALBEF_FORCE_ISA")
        let chosen = try name.map { name throws(KernelError) in try ISA.named(name) } ?? .best
        return try Kernels(isa: chosen, threads: threads ?? ThreadBudget.available())
    }

    /// The model, and a session that answers one caller.
    func session() throws -> Session {
        let kernels = try kernels()
        return try Session(model: Model(path: model), kernels: kernels)
    }

    /// A text made ready, with a note where it was cut.
    func prepare(_ text: String, for purpose: PreparedText.Purpose, model: Model) throws -> PreparedText {
        let prepared = try model.prepare(text, for: purpose)
        if prepared.truncated {
            note("the text is longer than the model reads; it was cut to \(prepared.ids.count) tokens")
        }
        return prepared
    }

    /// A line for the person at the terminal, such as that a text was cut.
    func note(_ text: String) {
        if !quiet { StandardStreams.reportLine("albef-infer: note: \(text)") }
    }

    /// Prints an answer: as JSON on one line, or as text for a person.
    func show(_ json: JSONValue, _ text: @autoclosure () -> String) throws {
        try StandardStreams.writeLine(self.json ? json.text : text())
    }
}

/// What the commands take that read a picture.
struct PictureLimit: ParsableArguments {
    @Option(help: ArgumentHelp("Refuse pictures with more pixels, from their header.", valueName: "n"))
    var maxPixels = defaultMaximumPixels

    func validate() throws {
        if maxPixels < 1 { throw ValidationError("--max-pixels takes 1 or more, found \(maxPixels).") }
    }

    func decode(_ path: String) throws -> Picture { try decodePicture(path: path, maxPixels: maxPixels) }
}

/// A number for a person: a few digits, never an exponent for ordinary values.
func digits(_ value: Float, _ count: Int = 4) -> String { digits(Double(value), count) }

/// As for Float.
func digits(_ value: Double, _ count: Int = 4) -> String {
    guard value.isFinite, value.magnitude < 1e9 else { return "\(value)" }
    let scale = (0..<count).reduce(1.0) { product, _ in product * 10 }
    let rounded = Int((value.magnitude * scale).rounded())
    let fraction = String(rounded % Int(scale))
    let sign = value < 0 && rounded > 0 ? "-" : ""
    let whole = "\(sign)\(rounded / Int(scale))"
    return count == 0 ? whole : whole + "." + String(repeating: "0", count: count - fraction.count) + fraction
}

/// Pads on the left, so that columns of numbers line up.
func right(_ text: String, _ width: Int) -> String { String(repeating: " ", count: max(0, width - text.count)) + text }

/// Pads on the right.
func left(_ text: String, _ width: Int) -> String { text + String(repeating: " ", count: max(0, width - text.count)) }
