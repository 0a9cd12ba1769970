import AlbefFiles
import AlbefImage
import AlbefKernels
import Foundation

/// What `tools/generate_image_fixtures.py` writes.
struct ImageFixtures: Decodable {
    struct Entry: Decodable {
        let file: String
        let width: Int
        let height: Int
        let pixels: String
        let resized: [String: String]
    }

    struct Resize: Decodable {
        let from: [Int]
        let to: [Int]
        let pixels: String
    }

    let pillow: String
    let pictures: [Entry]
    let broken: [String]
    let resizes: [Resize]

    static let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().appending(path: "fixtures/images")

    static func load() throws -> ImageFixtures {
        try JSONDecoder().decode(
            ImageFixtures.self, from: Data(contentsOf: folder.appending(path: "images.json")))
    }

    static func path(_ name: String) -> String { folder.appending(path: name).path }
}

/// Every instruction set of this CPU up to the one that `ALBEF_FORCE_ISA` names.
let testedISAs: [ISA] = {
    let name = ProcessInfo.processInfo.environment["ALBEF_FORCE_ISA"] ?? ISA.best.rawValue
    guard let end = ISA.supported.firstIndex(where: { $0.rawValue == name }) else {
        preconditionFailure("ALBEF_FORCE_ISA names '\(name)', which does not run here")
    }
    return Array(ISA.supported[...end])
}()

/// The bytes of a linear congruential generator; the fixtures' script has the same.
struct Noise {
    private var state: UInt64

    init(seed: Int) { state = UInt64(seed) }

    mutating func next() -> UInt64 {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return state
    }

    mutating func byte() -> UInt8 { UInt8(next() >> 56) }

    /// A number below `limit`.
    mutating func below(_ limit: Int) -> Int { Int(next() >> 33) % limit }

    mutating func bytes(_ count: Int) -> [UInt8] { (0..<count).map { _ in byte() } }
}

func sum(_ bytes: [UInt8]) -> String { SHA256.hex(of: bytes) }
