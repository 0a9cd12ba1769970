import AlbefKernels
import AlbefModelFile
import AlbefTestSupport
import Testing

@testable import Albef

private let published = ModelConfiguration(
    imageSize: 384, patchSize: 16, visionWidth: 768, visionLayers: 12, visionHeads: 12, textWidth: 768, textLayers: 12,
    fusionLayer: 6, textHeads: 12, embedDim: 256, vocabSize: 30522, maxPositions: 512, decoderLayers: 6, gradcamLayer: 8,
    maxWords: 30, mean: [0, 0, 0], std: [1, 1, 1])

@Suite("Counting products")
struct WorkloadTests {
    @Test("the published size takes what a computation by hand gives")
    func published() {
        // 576 patches of 768 values; 12 blocks of 577 tokens: 12 · 768² a token, and 2 · 577² · 768.
        let image = 339_738_624 + 12 * (577 * 7_077_888 + 511_378_944)
        #expect(image == 55_483_582_464)
        #expect(AlbefTests.published.imageEncoderMultiplyAdds == image)
        // 6 layers: 30 tokens · 12 · 768², and 2 · 30² · 768.
        #expect(AlbefTests.published.textEncoderMultiplyAdds(tokens: 30) == 6 * (212_336_640 + 1_382_400))
        #expect(AlbefTests.published.textEncoderMultiplyAdds(tokens: 30) == 1_282_314_240)
        // Those, and for each layer 2 · 768² a token, 2 · 577 · 768² of keys and values, 2 · 30 · 577 · 768 of attention.
        #expect(
            AlbefTests.published.fusionMultiplyAdds(tokens: 30)
                == 1_282_314_240 + 6 * (35_389_440 + 680_656_896 + 26_588_160))
        #expect(AlbefTests.published.fusionMultiplyAdds(tokens: 30) == 5_738_121_216)
        #expect(AlbefTests.published.fusionMultiplyAdds(tokens: 12) * 16 == 75_897_962_496)
    }

    @Test("answers are decoded by themselves, their question's keys and values are counted once")
    func answers() {
        let layer = { (rows: Int) in rows * 14 * 589_824 + 2 * rows * rows * 768 + 2 * rows * 12 * 768 }
        let words = 31_290 * 768
        #expect(
            AlbefTests.published.answeringMultiplyAdds(question: 12, answers: [5, 2])
                == 6 * (2 * 12 * 589_824 + layer(1) + layer(5) + layer(2)) + 8 * words)
        #expect(AlbefTests.published.wordLogitsMultiplyAdds(rows: 3) == 3 * words)
    }

    @Test("a floor is the longer of multiplying and reading")
    func floors() {
        let work = Workload(multiplyAdds: 100, weightBytes: 30)
        #expect(work.floor(peak: 10, bandwidth: 10) == 10)
        #expect(work.floor(peak: 100, bandwidth: 10) == 3)
        #expect(work.times(3) == Workload(multiplyAdds: 300, weightBytes: 30))
        #expect(work + work.times(2) == Workload(multiplyAdds: 300, weightBytes: 60))
    }

    @Test("together the stages read every weight of the file once, but for tables of which rows are read")
    func weights() throws {
        try withSession { session in
            let model = session.model
            let list = try model.answerList()
            let stages = [
                model.imageEncoderWorkload, model.textEncoderWorkload(tokens: 5), model.fusionWorkload(tokens: 5),
                model.answeringWorkload(question: 5, list, scored: [0]), model.wordLogitsWorkload(rows: 1),
            ]
            let all = model.file.tensors.filter {
                !$0.name.hasPrefix("text_encoder.embeddings.") && !$0.name.contains("position_embeddings")
            }.reduce(0) { $0 + $1.byteCount }
            let words = try #require(
                model.file.tensors.first { $0.name == "text_encoder.embeddings.word_embeddings.weight" }).byteCount
            #expect(stages.map(\.weightBytes).reduce(0, +) == all + words)
        }
    }
}

@Suite("Timing stages")
struct BenchmarkTests {
    @Test("percentiles are by nearest rank")
    func percentiles() {
        let latency = Latency([5, 1, 4, 2, 3])
        #expect(latency.minimum == 1)
        #expect(latency.percentile(50) == 3)
        #expect(latency.percentile(90) == 5)
        #expect(latency.percentile(100) == 5)
        #expect(latency.percentile(1) == 1)
        #expect(Latency([7]).percentile(50) == 7)
        #expect(Latency([2, 1]).percentile(50) == 1)
    }

    @Test("a stage is there where the model has its head", arguments: [0, 2, 3])
    func heads(classes: Int) throws {
        let tiny = classes == 0 ? TinyModel() : TinyModel.classifying(classes)
        try withSession(tiny) { session in
            let benchmark = Benchmark(session), stages = benchmark.stages
            let classified: [BenchmarkStage] = [.entail, .reason]
            let common: [BenchmarkStage] = [.prepareImage, .imageEncoder, .textEncoder12, .textEncoder30]
            switch classes {
            case 0: #expect(stages == BenchmarkStage.allCases.filter { !classified.contains($0) })
            case 2: #expect(stages == common + [.reason])
            default: #expect(stages == common + [.entail])
            }
            for stage in stages {
                let (latency, workload) = try benchmark.measure(stage, runs: 2)
                #expect(latency.sorted.count == 2 && latency.minimum > 0, "\(stage)")
                #expect((workload.multiplyAdds > 0) == (stage != .prepareImage), "\(stage)")
            }
            for stage in BenchmarkStage.allCases where !stages.contains(stage) {
                #expect(throws: AlbefError.self, "\(stage)") { try benchmark.measure(stage, runs: 1) }
            }
        }
    }

    @Test("without answers in the file none are ranked")
    func answers() throws {
        var tiny = TinyModel()
        tiny.answers = nil
        try withSession(tiny) { session in
            let benchmark = Benchmark(session)
            #expect(!benchmark.stages.contains(.vqa) && !benchmark.stages.contains(.answer))
            #expect(benchmark.stages.contains(.match))
            #expect(throws: AlbefError.self) { try benchmark.measure(.answer, runs: 1) }
        }
    }

    @Test("the caller's answers are ranked, instead of the file's or where the file has none", arguments: [false, true])
    func callersAnswers(isInFile: Bool) throws {
        var tiny = TinyModel()
        let own = try #require(tiny.answers)
        if !isInFile { tiny.answers = nil }
        try withSession(tiny) { session in
            let longer = own.map { $0 + " " + $0 }
            func work(_ stage: BenchmarkStage, _ answers: [String]) throws -> Int {
                let benchmark = Benchmark(session, answers: try session.model.answerList(answers))
                #expect(benchmark.stages.contains(stage))
                return try benchmark.measure(stage, runs: 1).workload.multiplyAdds
            }
            for stage in [BenchmarkStage.answer, .vqa] {
                let given = try work(stage, own)
                #expect(try work(stage, longer) > given)
                guard isInFile else { continue }
                let products = try Benchmark(session).measure(stage, runs: 1).workload.multiplyAdds
                #expect(products == given)
            }
        }
    }

    @Test("stages that rank answers are those of the answering head")
    func rankingStages() {
        #expect(BenchmarkStage.allCases.filter(\.ranksAnswers) == [.answer, .vqa])
    }

    @Test("whole tasks count their parts")
    func sums() throws {
        try withSession { session in
            let benchmark = Benchmark(session)
            func work(_ stage: BenchmarkStage) throws -> Int { try benchmark.measure(stage, runs: 1).workload.multiplyAdds }
            let image = try work(.imageEncoder)
            #expect(try work(.match) == image + work(.textEncoder30) + work(.fusionPair30))
            #expect(try work(.vqa) == image + work(.textEncoder12) + work(.answer))
            #expect(try work(.fusionPictures12) == 16 * work(.fusionPair12))
            #expect(try work(.groundITC) == image + work(.textEncoder30))
        }
    }
}
