// swift-tools-version: 6.2
import PackageDescription

/// Settings of every Swift target: unacknowledged unsafe use is an error, not a warning.
let swiftSettings: [SwiftSetting] = [
    .strictMemorySafety(),
    .treatWarning("StrictMemorySafety", as: .error),
]

/// Targets that hand out spans of memory they own also need lifetime annotations.
let spanSettings: [SwiftSetting] = swiftSettings + [.enableExperimentalFeature("Lifetimes")]

/// The kernels are optimised in every configuration, so that debug test runs take seconds and not minutes, and never
/// contract `a * b + c` on their own: a fused multiply-add stands only where the source says so.
let kernelFlags: [CSetting] = [
    .unsafeFlags(["-O3", "-ffp-contract=off", "-fno-math-errno", "-fopenmp", "-Wall", "-Wextra"])
]

let package = Package(
    name: "albef",
    products: [
        .library(name: "Albef", targets: ["Albef"]),
        .executable(name: "albef-infer", targets: ["albef-infer"]),
        .executable(name: "albef-export", targets: ["albef-export"]),
        .executable(name: "albef-bench", targets: ["albef-bench"]),
    ],
    dependencies: [
        // Command lines: help, validation and error texts that users know from other tools.
        .package(url: "https://github.com/apple/swift-argument-parser", exact: "1.8.2")
    ],
    targets: [
        // C, and system libraries
        .target(
            name: "CAlbefKernels", exclude: ["README.md"], cSettings: kernelFlags,
            linkerSettings: [.linkedLibrary(":libomp.so.5"), .linkedLibrary("m")]),
        .target(
            name: "CImageCodecs", exclude: ["README.md"],
            linkerSettings: [.linkedLibrary("jpeg"), .linkedLibrary("png")]),
        .target(name: "CSha256", exclude: ["README.md"], cSettings: [.unsafeFlags(["-O3", "-Wall", "-Wextra"])]),
        .systemLibrary(name: "CZstd", pkgConfig: "libzstd", providers: [.apt(["libzstd-dev"])]),

        // The library, from the bottom up
        .target(name: "AlbefTensor", exclude: ["README.md"], swiftSettings: spanSettings),
        .target(
            name: "AlbefFiles", dependencies: ["AlbefTensor", "CSha256"], exclude: ["README.md"],
            swiftSettings: spanSettings),
        .target(
            name: "AlbefKernels", dependencies: ["AlbefTensor", "CAlbefKernels"], exclude: ["README.md"],
            swiftSettings: spanSettings),
        .target(
            name: "AlbefModelFile", dependencies: ["AlbefTensor", "AlbefFiles", "CZstd"], exclude: ["README.md"],
            swiftSettings: spanSettings),
        .target(name: "AlbefTokenizer", exclude: ["README.md"], swiftSettings: swiftSettings),
        .target(
            name: "AlbefImage", dependencies: ["AlbefTensor", "AlbefFiles", "AlbefKernels", "CImageCodecs"],
            exclude: ["README.md"], swiftSettings: swiftSettings),
        .target(
            name: "AlbefLayers", dependencies: ["AlbefTensor", "AlbefKernels", "AlbefModelFile"],
            exclude: ["README.md"], swiftSettings: swiftSettings),
        .target(
            name: "Albef",
            dependencies: [
                "AlbefTensor", "AlbefFiles", "AlbefKernels", "AlbefLayers", "AlbefModelFile", "AlbefTokenizer",
                "AlbefImage",
            ], exclude: ["README.md"], swiftSettings: swiftSettings),
        .target(
            name: "AlbefExport",
            dependencies: [
                "AlbefTensor", "AlbefFiles", "AlbefKernels", "AlbefModelFile", "AlbefTokenizer", "AlbefImage", "Albef",
            ],
            exclude: ["README.md"], swiftSettings: swiftSettings),

        // Commands
        .executableTarget(
            name: "albef-infer",
            dependencies: [
                "Albef", "AlbefFiles", "AlbefImage", "AlbefKernels",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ], swiftSettings: swiftSettings),
        .executableTarget(
            name: "albef-export",
            dependencies: [
                "AlbefExport", "AlbefFiles", .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ], swiftSettings: swiftSettings),
        .executableTarget(
            name: "albef-bench",
            dependencies: [
                "AlbefFiles", "AlbefKernels", .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: swiftSettings),

        // Tests
        .target(
            name: "AlbefTestSupport", dependencies: ["AlbefTensor", "AlbefFiles", "AlbefKernels", "AlbefModelFile"],
            path: "Tests/AlbefTestSupport",
            swiftSettings: spanSettings),
        // Measures sessions in a process of their own, which the tests start.
        .target(
            name: "CAllocationCounter", path: "Tests/CAllocationCounter", cSettings: [.unsafeFlags(["-fno-builtin"])]),
        .executableTarget(
            name: "session-probe",
            dependencies: [
                "Albef", "AlbefFiles", "AlbefKernels", "AlbefModelFile", "AlbefTestSupport", "CAllocationCounter",
            ],
            path: "Tests/SessionProbe", swiftSettings: swiftSettings),
        test("ArchitectureTests", []),
        test("AlbefTensorTests", ["AlbefTensor"]),
        test("AlbefFilesTests", ["AlbefFiles", "AlbefTensor"]),
        test("AlbefKernelsTests", ["AlbefKernels", "AlbefTensor", "CAlbefKernels"]),
        test("AlbefModelFileTests", ["AlbefModelFile", "AlbefFiles", "AlbefTensor"]),
        test("AlbefTokenizerTests", ["AlbefTokenizer", "AlbefFiles"]),
        test("AlbefImageTests", ["AlbefImage", "AlbefFiles", "AlbefTensor"]),
        test("AlbefLayersTests", ["AlbefLayers", "AlbefKernels", "AlbefModelFile", "AlbefTensor"]),
        test("AlbefTests", ["Albef", "AlbefFiles", "AlbefImage", "AlbefKernels", "AlbefModelFile", "AlbefTensor"]),
        test("AlbefExportTests", ["Albef", "AlbefExport", "AlbefKernels", "AlbefModelFile", "AlbefFiles", "AlbefTensor"]),
        test(
            "ConformanceTests",
            ["Albef", "AlbefExport", "AlbefFiles", "AlbefImage", "AlbefKernels", "AlbefModelFile", "AlbefTensor"]),
    ],
    cLanguageStandard: .c17
)

func test(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .testTarget(name: name, dependencies: dependencies + ["AlbefTestSupport"])
}
