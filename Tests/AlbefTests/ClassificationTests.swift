import AlbefKernels
import AlbefModelFile
import AlbefTensor
import AlbefTestSupport
import Testing

@testable import Albef

private let sentences = [
    "a red dog", "two cats playing on the left of a big tree", "blue", "is the small cat playing with a dog in red",
]

/// A classification task on a tiny model.
enum ClassificationTask: String, CaseIterable, Sendable {
    case entailment, reasoning

    var head: Head { self == .entailment ? .entailment : .reasoning }
    var stage: String { self == .entailment ? "entailment_logits" : "nlvr_logits" }
    var tiny: TinyModel { .classifying(head.classes.count) }
    /// Of the pictures.
    var seeds: [UInt64] { self == .entailment ? [7] : [7, 8] }

    func classify(_ session: Session, _ texts: [EncodedText]) throws -> [Classification] {
        let images = try seeds.map { try session.tinyImage(seed: $0) }
        return switch self {
        case .entailment: try session.entail(images[0], texts)
        case .reasoning: try session.reason(images[0], images[1], texts)
        }
    }

    func trace(_ session: Session, blocks: Bool = false) throws -> Trace {
        let images = try seeds.map { try PreparedImage(pixels: TinyModel().pixels(seed: $0), for: session.model) }
        return try session.trace(
            Session.TraceRequest(
                image: images[0], right: images.dropFirst().first,
                caption: session.model.prepare("a dog playing on the left", for: .caption), blocks: blocks))
    }
}

@Suite("Entailment and reasoning over two pictures")
struct ClassificationTests {
    @Test(
        "a sentence gives the same bytes alone and in a batch of more rows than are computed together",
        arguments: ClassificationTask.allCases, Precision.allCases)
    func batches(task: ClassificationTask, precision: Precision) throws {
        try withSession(task.tiny, precision: precision) { session in
            let texts = try sentences.map { try session.tinyText($0, .caption) }
            let together = try task.classify(session, (0..<60).map { texts[$0 % texts.count] })
            for (index, text) in texts.enumerated() {
                let alone = try task.classify(session, [text])
                #expect(alone.count == 1)
                for place in stride(from: index, to: 60, by: texts.count) { #expect(together[place] == alone[0]) }
            }
            #expect(Set(together.map(\.logits)).count == sentences.count)
        }
    }

    @Test("the label is the most probable class, and the classes stand in the official order", arguments: ClassificationTask.allCases)
    func labels(task: ClassificationTask) throws {
        try withSession(task.tiny) { session in
            #expect(session.model.heads == [task.head])
            #expect(session.model.picturesPerText == task.seeds.count)
            for result in try task.classify(session, sentences.map { try session.tinyText($0, .caption) }) {
                #expect(result.classes == (task == .entailment ? ["contradiction", "neutral", "entailment"] : ["false", "true"]))
                let best = result.probabilities.indices.max { result.probabilities[$0] < result.probabilities[$1] }
                #expect(result.label == result.classes[best ?? -1])
                #expect(abs(result.probabilities.reduce(0, +) - 1) < 1e-6)
            }
        }
    }

    @Test("of equal logits the first class wins")
    func ties() {
        func label(_ logits: [Float]) -> String {
            Classification(classes: ["a", "b", "c"], logits: logits, probabilities: logits).label
        }
        #expect(label([1, 1, 0]) == "a" && label([0, 2, 2]) == "b" && label([-3, -2, -1]) == "c")
    }

    @Test("the head is dense, ReLU, dense on the fused class token", arguments: ClassificationTask.allCases, Precision.allCases)
    func head(task: ClassificationTask, precision: Precision) throws {
        var tiny = task.tiny
        tiny.precision = precision
        let parts = tiny.parts()
        func values(_ name: String) throws -> [Double] {
            let part = try #require(parts.first { $0.name == name })
            switch part {
            case .plain(_, let values, _): return values.map(Double.init)
            case .matrix(_, let matrix): return Kernels.unpack(matrix).map(Double.init)
            }
        }
        func linear(_ x: [Double], _ name: String) throws -> [Double] {
            let weight = try values(name + ".weight")
            return try values(name + ".bias").enumerated().map { row, bias in
                x.indices.reduce(bias) { $0 + x[$1] * weight[row * x.count + $1] }
            }
        }
        try withSession(tiny, precision: precision) { session in
            let trace = try task.trace(session)
            let width = session.model.text.width
            let token = try #require(trace.tensor("fusion_tokens")).floats.prefix(width).map(Double.init)
            let hidden = try linear(token, "cls_head.0")
            #expect(hidden.contains { $0 < -0.1 }, "the ReLU must matter")
            let expected = try linear(hidden.map { max($0, 0) }, "cls_head.2")
            let found = try #require(trace.tensor(task.stage)).floats
            #expect(zip(expected, found).allSatisfy { abs($0 - Double($1)) < 1e-5 } && found.count == expected.count)
        }
    }

    @Test("a trace shows what the tasks compute, in the order of the stages", arguments: Precision.allCases)
    func traces(precision: Precision) throws {
        for task in ClassificationTask.allCases {
            try withSession(task.tiny, precision: precision) { session in
                let trace = try task.trace(session, blocks: true)
                let sides = task == .entailment ? [""] : ["_left", "_right"]
                let stages = sides.flatMap { side in ["pixels_u8", "pixels", "image_tokens"].map { $0 + side } }
                    + ["input_ids", "text_tokens", "fusion_tokens", task.stage]
                let blocks = sides.flatMap { side in (0..<2).map { "visual_encoder.blocks.\($0)\(side)" } }
                    + (0..<session.model.configuration.textLayers).map { "text_encoder.encoder.layer.\($0)" }
                #expect(trace.tensors.map(\.name) == stages + blocks)
                let text = try session.tinyText("a dog playing on the left", .caption)
                try #expect(trace.tensor(task.stage)?.floats == task.classify(session, [text])[0].logits)
                for (side, seed) in zip(sides, task.seeds) {
                    try #expect(trace.tensor("image_tokens" + side)?.floats == session.tinyImage(seed: seed).tokens)
                }
            }
        }
    }

    @Test("digests are equal for every instruction set and number of threads", arguments: ClassificationTask.allCases, Precision.allCases)
    func digests(task: ClassificationTask, precision: Precision) throws {
        var expected: [String]?
        for isa in ISA.supported {
            for threads in [1, 2, 3, 8] {
                try withSession(task.tiny, precision: precision, isa: isa, threads: threads) { session in
                    let digests = try task.trace(session, blocks: true).tensors.map { $0.name + " " + $0.digest }
                    if let expected {
                        #expect(digests == expected, "\(isa.rawValue), \(threads) threads")
                    } else {
                        expected = digests
                    }
                }
            }
        }
    }

    @Test("the fusion layers look at the left and the right picture in turn")
    func turns() throws {
        try withSession(ClassificationTask.reasoning.tiny) { session in
            func layers(_ left: UInt64, _ right: UInt64) throws -> [[Float]] {
                let trace = try session.trace(
                    Session.TraceRequest(
                        image: PreparedImage(pixels: TinyModel().pixels(seed: left), for: session.model),
                        right: PreparedImage(pixels: TinyModel().pixels(seed: right), for: session.model),
                        caption: session.model.prepare("a red dog", for: .caption), blocks: true))
                return try (0..<7).map { try #require(trace.tensor("text_encoder.encoder.layer.\($0)")).floats }
            }
            let plain = try layers(1, 2)
            let otherRight = try layers(1, 3)
            #expect(otherRight[2] == plain[2] && otherRight[3] != plain[3])
            let otherLeft = try layers(3, 2)
            #expect(otherLeft[1] == plain[1] && otherLeft[2] != plain[2])
            try #expect(layers(2, 1)[6] != plain[6])
        }
    }

    @Test("a pair's second layer uses the keys' and values' projections of its first", arguments: Precision.allCases)
    func sharedProjections(precision: Precision) throws {
        var pairs = ClassificationTask.reasoning.tiny
        pairs.precision = precision
        // The same network for one picture: every layer has projections of its own, the second ones' copied from the first.
        var single = ClassificationTask.entailment.tiny
        single.precision = precision
        single.configuration.textLayers = 7
        let shared = pairs.parts()
        func own(_ name: String) -> TinyModel.Part? { shared.first { $0.name == name } }
        let parts = try single.parts().map { part in
            if part.name.hasPrefix("cls_head.2") { return part }
            for (second, first) in [(3, 2), (5, 4)] where part.name.contains("layer.\(second).crossattention") {
                guard own(part.name) == nil else { break }
                let source = part.name.split(separator: "layer.\(second)").joined(separator: "layer.\(first)")
                switch try #require(own(source)) {
                case .plain(_, let values, let shape): return .plain(part.name, values, shape: shape)
                case .matrix(_, let matrix): return .matrix(part.name, matrix)
                }
            }
            return try #require(own(part.name))
        }
        func fused(_ session: Session, _ right: Bool) throws -> [Float] {
            let image = try PreparedImage(pixels: TinyModel().pixels(), for: session.model)
            let trace = try session.trace(
                Session.TraceRequest(
                    image: image, right: right ? image : nil, caption: session.model.prepare("a red dog", for: .caption)))
            return try #require(trace.tensor("fusion_tokens")).floats
        }
        let expected = try single.withFile(parts: parts) { path in
            try fused(Session(model: Model(path: path), kernels: Kernels(threads: 1)), false)
        }
        let found = try pairs.withFile(parts: shared) { path in
            try fused(Session(model: Model(path: path), kernels: Kernels(threads: 1)), true)
        }
        #expect(found == expected)
    }

    @Test("the arena that was planned is the arena that is used", arguments: ClassificationTask.allCases, Precision.allCases)
    func plan(task: ClassificationTask, precision: Precision) throws {
        try withSession(task.tiny, precision: precision) { session in
            try session.pass { pass throws(AlbefError) in try pass.runLargest() }
            #expect(session.peakBytes == session.plannedBytes)
            let text = try session.tinyText(Array(repeating: "playing", count: 30).joined(separator: " "), .caption)
            _ = try task.classify(session, Array(repeating: text, count: 5))
            #expect(session.peakBytes == session.plannedBytes)
        }
    }

    @Test("a missing weight of the head or of cross-attention is refused when the file is opened", arguments: ClassificationTask.allCases)
    func missingTensors(task: ClassificationTask) throws {
        let parts = task.tiny.parts()
        let weights = task.tiny.weights.map(\.name).filter {
            ($0.hasPrefix("cls_head") || $0.contains("crossattention")) && $0 != task.head.keyTensor
        }
        #expect(weights.count > 20)
        for weight in weights {
            var tiny = task.tiny
            tiny.omitted = [weight]
            try tiny.withFile(parts: parts) { path in
                let error = #expect(throws: AlbefError.self) { try Model(path: path) }
                #expect(error?.description.contains("'\(weight)'") == true && error?.kind == .badData)
            }
        }
    }

    @Test("a head of another number of classes is refused when the file is opened", arguments: [1, 4, 17])
    func otherCounts(classes: Int) throws {
        try TinyModel.classifying(classes).withFile { path in
            let error = #expect(throws: AlbefError.self) { try Model(path: path) }
            #expect(error?.description.contains("'cls_head.2.weight'") == true && error?.kind == .badData)
            #expect(error?.description.contains("[3, 40]") == true, "\(error?.description ?? "")")
        }
    }

    @Test("a head's matrix that is a plain tensor is refused when the file is opened", arguments: [[3], [2], [], [2, 40], [3, 40]])
    func plainHead(shape: [Int]) throws {
        let tiny = TinyModel.classifying(shape.first == 2 ? 2 : 3)
        let parts = tiny.parts().map { part -> TinyModel.Part in
            guard part.name == "cls_head.2.weight" else { return part }
            return .plain(part.name, [Float](repeating: 1, count: shape.reduce(1, *)), shape: shape)
        }
        try tiny.withFile(parts: parts) { path in
            let error = #expect(throws: AlbefError.self) { try Model(path: path) }
            #expect(error?.description.contains("'cls_head.2.weight'") == true && error?.kind == .badData)
        }
    }

    @Test("pairs of fusion layers below a head for one picture are refused when the file is opened")
    func otherLayout() throws {
        let paired = TinyModel.classifying(2)
        let three = TinyModel.classifying(3).parts().filter { $0.name.hasPrefix("cls_head") }
        let parts = paired.parts().filter { !$0.name.hasPrefix("cls_head") } + three
        try paired.withFile(parts: parts) { path in
            let error = #expect(throws: AlbefError.self) { try Model(path: path) }
            #expect(error?.description.contains("layer.3.crossattention.self.key.weight") == true && error?.kind == .badData)
        }
    }

    @Test("a task whose head the model lacks names the tensor, and what it holds instead")
    func wrongHead() throws {
        for task in ClassificationTask.allCases {
            try withSession(task.tiny) { session in
                let image = try session.tinyImage()
                let text = try session.tinyText("a dog")
                let cases: [(String, () throws -> Void)] = [
                    ("itm_head.weight", { _ = try session.match(image, text) }),
                    ("itm_head.weight", { _ = try session.ground(image, text) }),
                    ("text_decoder", { _ = try session.answer(image, text, session.model.answerList(["yes"])) }),
                    (
                        "'cls_head.2.weight' tells \(task.head.classes.count) classes apart",
                        {
                            switch task {
                            case .entailment: _ = try session.reason(image, image, text)
                            case .reasoning: _ = try session.entail(image, text)
                            }
                        }
                    ),
                ]
                for (words, run) in cases {
                    let error = #expect(throws: AlbefError.self) { try run() }
                    #expect(error?.description.contains(words) == true && error?.kind == .badData, "\(error?.description ?? "")")
                }
            }
        }
        try withSession { session in
            let image = try session.tinyImage()
            let text = try session.tinyText("a dog")
            for run in [{ try session.entail(image, text) }, { try session.reason(image, image, text) }] {
                let error = #expect(throws: AlbefError.self) { try run() }
                #expect(error?.description.contains("tensor 'cls_head.2.weight' is missing") == true && error?.kind == .badData)
            }
        }
    }

    @Test("a trace of two pictures needs both, a caption instead of a question, and a model for two")
    func traceConflicts() throws {
        try withSession(ClassificationTask.reasoning.tiny) { session in
            let image = try PreparedImage(pixels: TinyModel().pixels(), for: session.model)
            let text = try session.model.prepare("a dog", for: .caption)
            for request in [
                Session.TraceRequest(right: image, caption: text), .init(image: image, right: image, question: text),
            ] {
                let error = #expect(throws: AlbefError.self) { try session.trace(request) }
                #expect(error?.kind == .usage)
            }
            let pictures = try session.trace(.init(image: image, right: image)).tensors.map(\.name)
            #expect(pictures.count == 6 && pictures.last == "image_tokens_right")
            let one = try session.trace(.init(image: image, caption: text)).tensors.map(\.name)
            #expect(one == ["pixels_u8", "pixels", "image_tokens", "input_ids", "text_tokens"])
        }
        try withSession(ClassificationTask.entailment.tiny) { session in
            let image = try PreparedImage(pixels: TinyModel().pixels(), for: session.model)
            let error = #expect(throws: AlbefError.self) { try session.trace(.init(image: image, right: image)) }
            #expect(error?.kind == .badData && error?.description.contains("cls_head.2.weight") == true)
        }
    }

    @Test("logits that are not finite are an error that names the stage", arguments: ClassificationTask.allCases)
    func nonFinite(task: ClassificationTask) throws {
        var tiny = task.tiny
        tiny.scaled = ["cls_head.0.weight": 100, "cls_head.2.weight": 2e38]
        try withSession(tiny, precision: .float32) { session in
            let error = #expect(throws: AlbefError.self) { try task.classify(session, [session.tinyText("a red dog")]) }
            #expect(error?.description.contains("'\(task.stage)'") == true)
        }
    }
}
