import AlbefFiles

/// Proposed boxes from a JSON file: a list of boxes, or the official detections, an object of lists by picture.
struct ProposalFile {
    private let path: String
    private let content: JSONValue

    init(path: String) throws(FileError) {
        self.path = path
        content = try JSONValue(readingFile: path, limit: 1 << 30)
    }

    /// Boxes `[x, y, width, height]` in pixels for a picture. In an object, the longest key that the picture's path ends
    /// with is taken, with or without the picture's file name ending: detections are keyed so.
    func boxes(for image: String) throws(FileError) -> [[Double]] {
        guard let members = content.members else { return try boxes(content) }
        let stem = image.split(separator: "/").last.map { String($0.prefix { $0 != "." }) }
        let fitting = members.filter { member in
            image == member.key || image.hasSuffix("/" + member.key) || stem == member.key
        }
        guard let best = fitting.max(by: { $0.key.utf8.count < $1.key.utf8.count }) else {
            throw .malformed(path: path, field: "key for '\(image)'", found: "none", expected: "a list of boxes for the picture")
        }
        return try boxes(best.value)
    }

    private func boxes(_ value: JSONValue) throws(FileError) -> [[Double]] {
        let boxes = value.array?.map { $0.array?.compactMap(\.double) ?? [] }
        guard let boxes, boxes.allSatisfy({ $0.count >= 4 && $0.allSatisfy { $0.magnitude < 1e9 } }) else {
            throw .malformed(path: path, field: "boxes", found: value.kindName, expected: "a list of [x, y, width, height]")
        }
        return boxes
    }
}
