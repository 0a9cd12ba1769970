import AlbefFiles
import Foundation
import Testing

@testable import AlbefExport

@Suite("Calibration folders")
struct CalibrationFolderTests {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    private func cases(_ json: String, limit: Int = 100) throws -> [CalibrationFolder.Case] {
        _ = try folder.write(Array(json.utf8), to: "captions.json")
        return try CalibrationFolder(folder.url.path, limit: limit).cases
    }

    @Test("records of every official form give a case each")
    func forms() throws {
        let found = try cases(
            """
            [{"image": "a.jpg", "caption": "one"}, {"image": "b/c.PNG", "caption": ["two", "three"], "image_id": "7"},
             {"image": "1234", "sentence": "four", "label": "neutral"}, {"image": "d.jpeg", "text": "five", "ref_id": 1},
             {"image": "e.jpg", "question": "six", "question_id": 3, "answer": ["x"]},
             {"images": ["l.png", "r.png"], "sentence": "seven", "label": "True"}]
            """)
        let root = folder.url.path + "/"
        #expect(found.map(\.text) == ["one", "two", "four", "five", "six", "seven"])
        #expect(
            found.map(\.images) == [
                [root + "a.jpg"], [root + "b/c.PNG"], [root + "1234.jpg"], [root + "d.jpeg"], [root + "e.jpg"],
                [root + "l.png", root + "r.png"],
            ])
        #expect(found.map(\.isQuestion) == [false, false, false, false, true, false])
    }

    @Test("of many cases some are taken, spread over all")
    func spread() throws {
        let all = try cases("[" + (0..<10).map { "{\"image\": \"\($0).jpg\", \"caption\": \"c\"}" }.joined(separator: ",") + "]", limit: 4)
        #expect(all.map(\.images) == ["0.jpg", "2.jpg", "5.jpg", "7.jpg"].map { [folder.path($0)] })
    }

    @Test("without records every picture is a case, in folders too, sorted")
    func pictures() throws {
        try FileManager.default.createDirectory(at: folder.url.appending(path: "sub"), withIntermediateDirectories: true)
        for name in ["b.jpg", "a.PNG", "sub/c.jpeg", "notes.txt"] { _ = try folder.write([0], to: name) }
        let found = try CalibrationFolder(folder.url.path, limit: 9).cases
        #expect(found.map(\.images) == ["a.PNG", "b.jpg", "sub/c.jpeg"].map { [folder.path($0)] })
        #expect(found.allSatisfy { $0.text == nil })
    }

    @Test("a bad record is refused with its number", arguments: [
        "{}", "[]", "[1]", #"[{"caption": "x"}]"#, #"[{"image": "a.jpg"}]"#, #"[{"image": 3, "caption": "x"}]"#,
        #"[{"image": "../a.jpg", "caption": "x"}]"#, #"[{"image": "/etc/a.jpg", "caption": "x"}]"#,
        #"[{"images": ["a.jpg"], "caption": []}]"#, #"[{"images": ["a", "b", "c"], "sentence": "x"}]"#, "not JSON",
    ])
    func badRecords(json: String) throws {
        do {
            _ = try cases(json)
            Issue.record("accepted")
        } catch let error as ExportError {
            #expect(error.kind == .badData)
            #expect(error.description.contains("captions.json") && !error.description.contains("\n"), "\(error)")
        }
    }

    @Test("a folder without pictures, or none at all, is refused")
    func empty() throws {
        #expect(throws: ExportError.self) { try CalibrationFolder(folder.url.path, limit: 9) }
        do {
            _ = try CalibrationFolder(folder.path("none"), limit: 9)
        } catch { #expect(error.kind == .missingInput) }
    }
}
