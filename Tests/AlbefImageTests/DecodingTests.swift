import AlbefFiles
import AlbefImage
import AlbefKernels
import AlbefTestSupport
import Foundation
import Testing

@Suite("Pictures are decoded as Pillow decodes them")
struct DecodingTests {
    @Test("every kind of JPEG and PNG has Pillow's pixels, and Pillow's pixels after resizing")
    func pixels() throws {
        let fixtures = try ImageFixtures.load()
        #expect(fixtures.pillow.hasPrefix("12."))
        #expect(fixtures.pictures.count > 40)
        let kernels = try Kernels(threads: 2)
        for entry in fixtures.pictures {
            let picture = try decodePicture(path: ImageFixtures.path(entry.file))
            #expect(picture.width == entry.width && picture.height == entry.height, "\(entry.file)")
            #expect(sum(picture.pixels) == entry.pixels, "\(entry.file)")
            for (size, expected) in entry.resized {
                let resized = resize(picture, to: try #require(Int(size)), kernels: kernels)
                #expect(sum(resized) == expected, "\(entry.file) to \(size)")
            }
        }
    }

    @Test("broken files are refused with one line that names the file, as bad data")
    func broken() throws {
        for name in try ImageFixtures.load().broken {
            let path = ImageFixtures.path("broken/" + name)
            let error = #expect(throws: ImageError.self, "\(name)") { try decodePicture(path: path) }
            guard let error else { continue }
            #expect(error.kind == .badData, "\(name): \(error)")
            #expect(error.description.contains(name) && !error.description.contains("\n"))
        }
    }

    @Test("a claim of 40000 x 40000 pixels is refused by the header", arguments: ["huge.png", "huge.jpg"])
    func hugeClaim(name: String) {
        let path = ImageFixtures.path("broken/" + name)
        #expect(throws: ImageError.tooLarge(path: path, width: 40000, height: 40000, limit: 178_956_970)) {
            try decodePicture(path: path)
        }
    }

    @Test("the limit on pixels is inclusive")
    func limit() throws {
        let path = ImageFixtures.path("rgb.png")
        #expect(try decodePicture(path: path, maxPixels: 93 * 61).width == 93)
        #expect(throws: ImageError.tooLarge(path: path, width: 93, height: 61, limit: 93 * 61 - 1)) {
            try decodePicture(path: path, maxPixels: 93 * 61 - 1)
        }
    }

    @Test("a missing file is missing input, a folder cannot be read")
    func missing() throws {
        let folder = try TemporaryFolder()
        let absent = #expect(throws: ImageError.self) { try decodePicture(path: folder.file("none.jpg")) }
        #expect(absent?.kind == .missingInput)
        let directory = #expect(throws: ImageError.self) { try decodePicture(path: folder.path) }
        #expect(directory != nil)
    }

    @Test("content decides, not the name")
    func content() throws {
        let folder = try TemporaryFolder()
        let copy = folder.file("picture.txt")
        try FileManager.default.copyItem(atPath: ImageFixtures.path("rgb.png"), toPath: copy)
        #expect(try decodePicture(path: copy) == decodePicture(path: ImageFixtures.path("rgb.png")))
    }

    @Test(
        "a file cut anywhere before its last pixel is refused",
        arguments: ["baseline-420.jpg", "progressive-420.jpg", "cmyk.jpg", "rgb.png", "interlaced-rgb.png", "palette.png"])
    func truncation(name: String) throws {
        let bytes = try readFile(ImageFixtures.path(name), limit: 1 << 20)
        // The end of a PNG is a chunk without pixels and a checksum; Pillow reads a picture without them as well.
        let end = name.hasSuffix(".png") ? bytes.count - 16 : bytes.count
        let step = max(1, end / 400)
        for length in Array(stride(from: 0, to: end, by: step)) + [end - 1] {
            #expect(throws: ImageError.self, "\(name) cut to \(length) bytes") {
                try decodePicture(Array(bytes[..<length]), path: name)
            }
        }
    }

    @Test("random changes to a file give a picture of the header's size or an error, never a crash")
    func mutations() throws {
        var noise = Noise(seed: 20_261_124)
        for name in ["baseline-420.jpg", "progressive-444.jpg", "cmyk.jpg", "grey.jpg", "rgba.png", "interlaced-grey-16-bit.png",
            "palette-4-bit.png", "grey-16-bit.png"]
        {
            let bytes = try readFile(ImageFixtures.path(name), limit: 1 << 20)
            for round in 0..<150 {
                var changed = bytes
                for _ in 0...noise.below(6) { changed[noise.below(changed.count)] = noise.byte() }
                if round % 5 == 0 { changed.removeSubrange(noise.below(changed.count)...) }
                do throws(ImageError) {
                    let picture = try decodePicture(changed, path: name, maxPixels: 4_000_000)
                    #expect(picture.pixels.count == picture.width * picture.height * 3)
                } catch {
                    #expect(error.kind == .badData, "\(name), round \(round): \(error)")
                    #expect(!error.description.contains("\n"))
                }
            }
        }
    }

    @Test("random bytes behind a valid signature are refused")
    func noiseFiles() {
        var noise = Noise(seed: 7)
        for signature in [[0xFF, 0xD8, 0xFF], [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A], []] as [[UInt8]] {
            for _ in 0..<200 {
                let bytes = signature + noise.bytes(noise.below(300))
                #expect(throws: ImageError.self) { try decodePicture(bytes, path: "noise") }
            }
        }
    }
}

@Suite("PNG files are written whole")
struct PNGTests {
    @Test("a written picture reads back equal, and equal pictures give equal bytes", arguments: [(1, 1), (3, 5), (300, 200)])
    func roundTrip(width: Int, height: Int) throws {
        let folder = try TemporaryFolder()
        var noise = Noise(seed: width)
        let picture = Picture(width: width, height: height, pixels: noise.bytes(width * height * 3))
        try writePNG(picture, to: folder.file("a.png"))
        try writePNG(picture, to: folder.file("b.png"))
        #expect(try decodePicture(path: folder.file("a.png")) == picture)
        let first = try readFile(folder.file("a.png"), limit: 1 << 24)
        #expect(try readFile(folder.file("b.png"), limit: 1 << 24) == first)
        #expect(try folder.names() == ["a.png", "b.png"])
    }

    @Test("a folder that does not exist is an error of input and output")
    func unwritable() {
        let picture = Picture(width: 1, height: 1, pixels: [1, 2, 3])
        let error = #expect(throws: ImageError.self) { try writePNG(picture, to: "/nonexistent/folder/a.png") }
        #expect(error?.kind == .inputOutput || error?.kind == .missingInput)
    }
}
