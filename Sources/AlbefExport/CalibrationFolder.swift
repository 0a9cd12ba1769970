import AlbefFiles

/// A folder of pictures, with texts or without, that an export is measured on.
///
/// With `captions.json` in it: a list of records in the official forms, of which each gives one case: `image` (or `images`,
/// the left and the right one) beside `caption` (the first one of a list), `sentence`, `text` or `question`; other keys are
/// passed over. Pictures are named relative to the folder; a name without ending is that of a `.jpg`. Without it: every JPEG
/// and PNG file in the folder and in those inside it, and only what a picture alone runs through is measured.
struct CalibrationFolder: Sendable {
    /// Some input of the model.
    struct Case: Sendable, Equatable {
        /// Paths of one picture or of two.
        let images: [String]
        let text: String?
        /// True if the text is a question.
        let isQuestion: Bool
    }

    static let captionsName = "captions.json"
    /// A larger file is refused.
    private static let maximumFile = 256 << 20
    private static let endings = [".jpg", ".jpeg", ".png"]
    private static let textKeys = ["caption", "sentence", "text", "question"]

    let path: String
    let cases: [Case]

    /// - Parameter limit: Cases that are taken at most, spread over all.
    init(_ path: String, limit: Int) throws(ExportError) {
        self.path = path
        let names = try fileOperation { () throws(FileError) in try listFolder(path, recursively: true) }
        let all: [Case]
        if names.contains(CalibrationFolder.captionsName) {
            all = try CalibrationFolder.records(in: path)
        } else {
            all = names.filter(CalibrationFolder.isPicture).map {
                Case(images: [path + "/" + $0], text: nil, isQuestion: false)
            }
            guard !all.isEmpty else {
                throw .calibration(
                    path: path,
                    reason: "no picture in the folder: expected files that end in "
                        + CalibrationFolder.endings.joined(separator: ", "))
            }
        }
        let count = min(limit, all.count)
        cases = (0..<count).map { all[$0 * all.count / count] }
    }

    private static func records(in folder: String) throws(ExportError) -> [Case] {
        let path = folder + "/" + captionsName
        let root = try fileOperation { () throws(FileError) in try JSONValue(readingFile: path, limit: maximumFile) }
        guard let list = root.array, !list.isEmpty else {
            throw .calibration(path: path, reason: "\(root.kindName), expected a list of records, not empty")
        }
        var cases: [Case] = []
        for (number, record) in list.enumerated() {
            func refuse(_ expected: String) -> ExportError {
                .calibration(path: path, reason: "record \(number): expected \(expected)")
            }
            let names = record["image"]?.string.map { [$0] } ?? record["images"]?.strings ?? []
            guard (1...2).contains(names.count) else { throw refuse("'image', or two 'images'") }
            guard names.allSatisfy(isInside) else { throw refuse("pictures inside of the folder") }
            guard let key = textKeys.first(where: { record[$0] != nil }),
                let text = record[key]?.string ?? record[key]?.strings?.first
            else { throw refuse("a text under one of \(textKeys.map { "'\($0)'" }.joined(separator: ", "))") }
            cases.append(
                Case(
                    images: names.map { folder + "/" + (isPicture($0) ? $0 : $0 + ".jpg") }, text: text,
                    isQuestion: key == "question"))
        }
        return cases
    }

    private static func isPicture(_ name: String) -> Bool {
        let lower = name.lowercased()
        return endings.contains { lower.hasSuffix($0) }
    }

    private static func isInside(_ name: String) -> Bool {
        !name.hasPrefix("/") && !name.split(separator: "/").contains("..")
    }
}
