import AlbefFiles
import AlbefModelFile
import Testing

@testable import AlbefExport

@Suite("Configuration and texts of an export")
struct ConfigurationTests {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    private func export(_ model: SampleModel, _ change: (inout ExportOptions) -> Void = { _ in }) throws -> ModelConfiguration {
        try model.writeSafetensors(to: folder.path("c.safetensors"))
        var options = ExportOptions(checkpoint: folder.path("c.safetensors"), output: folder.path("m.albef"))
        change(&options)
        return try Exporter.run(options).configuration
    }

    private func write(_ text: String, to name: String = "file") throws -> String {
        try folder.write(Array(text.utf8), to: name)
    }

    @Test("sizes come from the tensors, and what they do not tell is as published")
    func inference() throws {
        let sample = SampleModel("inference", heads: [.contrastive, .matching, .maskedLanguage])
        #expect(try export(sample) == sample.configuration)
    }

    @Test("a file goes before the metadata, and the metadata before the defaults")
    func precedence() throws {
        var sample = SampleModel("precedence", width: 32)
        #expect(message { try export(sample) }?.contains("vision_heads cannot be told from a width of 32") == true)
        sample.metadata["albef.config"] = #"{"vision_heads": 2, "text_heads": 4, "max_words": 7, "gradcam_layer": 2}"#
        var configuration = try export(sample)
        #expect(configuration.visionHeads == 2)
        #expect(configuration.textHeads == 4)
        #expect(configuration.maxWords == 7)
        #expect(configuration.gradcamLayer == 2)
        let file = try write(#"{"vision_heads": 8, "max_words": 9, "mean": [0, 0.5, 1], "image_size": 6}"#)
        configuration = try export(sample) { $0.configuration = file }
        #expect(configuration.visionHeads == 8)
        #expect(configuration.textHeads == 4)
        #expect(configuration.maxWords == 9)
        #expect(configuration.mean == [0, 0.5, 1])
        #expect(configuration.std == sample.configuration.std)
    }

    @Test("a setting that the tensors contradict is refused with both", arguments: [
        ("image_size", 8, "6"), ("patch_size", 3, "2"), ("vision_width", 32, "64"), ("vision_layers", 3, "2"),
        ("text_width", 32, "64"), ("text_layers", 5, "4"), ("fusion_layer", 1, "2"), ("embed_dim", 4, "5"),
        ("vocab_size", 22, "21"), ("max_positions", 10, "9"),
    ])
    func contradictions(key: String, value: Int, implied: String) throws {
        let sample = SampleModel("contradictions")
        let file = try write("{\"\(key)\": \(value)}")
        let found = message { try export(sample) { $0.configuration = file } }
        #expect(found?.hasPrefix("\(file): \(key) is \(value), but ") == true, "\(found ?? "no error")")
        let advice = key == "image_size" ? "; for another resolution give --image-size" : ""
        #expect(found?.hasSuffix(" says \(implied)" + advice) == true)
    }

    @Test("sizes of heads that a model lacks may stand in its settings")
    func absentHeads() throws {
        var sample = SampleModel("absent heads")
        sample.metadata["albef.config"] = #"{"decoder_layers": 6, "later_key": null}"#
        #expect(try export(sample).decoderLayers == 0)
        sample = SampleModel("absent heads", heads: [.answering])
        sample.metadata["albef.config"] = #"{"embed_dim": 64}"#
        #expect(try export(sample).embedDim == 64)
        sample.metadata["albef.config"] = #"{"decoder_layers": 3}"#
        #expect(message { try export(sample) }?.contains("decoder_layers is 3, but") == true)
    }

    @Test("settings that cannot be are refused", arguments: [
        ("[1]", "an array, expected an object"), ("{", "JSON at byte"), ("{\"imagesize\": 3}", "unknown key 'imagesize'"),
        ("{\"max_words\": \"3\"}", "max_words is \"3\", expected a whole number"),
        ("{\"max_words\": 0}", "'max_words' is 0"), ("{\"vision_heads\": 3}", "'vision_heads' is 3"),
        ("{\"gradcam_layer\": 1}", "'gradcam_layer' is 1"), ("{\"mean\": [1]}", "'mean' is"), ("{\"std\": [1, 1, 0]}", "'std' is"),
    ])
    func badSettings(text: String, expected: String) throws {
        let file = try write(text)
        let found = message { try export(SampleModel("bad settings")) { $0.configuration = file } }
        #expect(found?.contains(expected) == true, "\(found ?? "no error")")
        #expect(found?.hasPrefix(file) == true)
    }

    @Test("patches that are no square, and kernels that are no picture's, are refused")
    func shapes() throws {
        var sample = SampleModel("shapes")
        sample.tensors["visual_encoder.pos_embed"] = ([1, 9, 64], Array(repeating: 0, count: 576))
        #expect(message { try export(sample) }?.hasSuffix("8 patches are no square") == true)
        sample.tensors["visual_encoder.patch_embed.proj.weight"] = ([64, 1, 2, 2], Array(repeating: 0, count: 256))
        #expect(message { try export(sample) }?.contains("expected [width, 3, patch, patch]") == true)
    }

    @Test("a vocabulary file is read as BERT reads it")
    func vocabularyFile() throws {
        var sample = SampleModel("vocabulary")
        sample.metadata = [:]
        #expect(message { try export(sample) }?.hasSuffix("give one with --vocab vocab.txt") == true)
        for (ending, last) in [("\n", true), ("\n", false), ("\r\n", true)] {
            let text = SampleModel.vocabulary.joined(separator: ending) + (last ? ending : "")
            let file = try write(text)
            _ = try export(sample) { $0.vocabulary = file }
            #expect(try ModelFile(path: folder.path("m.albef")).vocabulary == SampleModel.vocabulary)
        }
    }

    @Test("a vocabulary that does not fit is refused")
    func badVocabularies() throws {
        func refusal(_ tokens: [String]) throws -> String? {
            let file = try write(tokens.joined(separator: "\n"))
            return message { try export(SampleModel("bad vocabularies")) { $0.vocabulary = file } }
        }
        var tokens = SampleModel.vocabulary
        #expect(try refusal(Array(tokens.dropLast()))?.contains("20 tokens, but the word embeddings of") == true)
        tokens[20] = "word3"
        #expect(try refusal(tokens)?.hasSuffix("token 'word3' stands at 8 and at 20") == true)
        tokens = SampleModel.vocabulary
        tokens[4] = "mask"
        #expect(try refusal(tokens)?.hasSuffix("token '[MASK]' is missing") == true)
        let file = try folder.write([0x61, 0x0A, 0xFF, 0x0A], to: "latin")
        let latin = message { try export(SampleModel("bad vocabularies")) { $0.vocabulary = file } }
        #expect(latin?.hasSuffix("line 2 is not UTF-8") == true)
        var sample = SampleModel("bad vocabularies")
        sample.metadata["albef.vocabulary"] = "[1]"
        #expect(message { try export(sample) }?.hasSuffix("an array, expected a list of strings") == true)
    }

    @Test("tokens that differ only in how an accent is written are two")
    func unnormalisedTokens() throws {
        var tokens = SampleModel.vocabulary
        tokens[19] = "\u{E9}"
        tokens[20] = "e\u{301}"
        let file = try write(tokens.joined(separator: "\n"))
        _ = try export(SampleModel("accents")) { $0.vocabulary = file }
        let read = try ModelFile(path: folder.path("m.albef")).vocabulary
        #expect(read[19].utf8.count == 2)
        #expect(read[20].utf8.count == 3)
    }

    @Test("a VQA model needs answers, and others have no use for them")
    func answers() throws {
        var sample = SampleModel("answers", heads: [.answering])
        let file = try write(#"["red", "blue"]"#)
        _ = try export(sample) { $0.answers = file }
        #expect(try ModelFile(path: folder.path("m.albef")).answers == ["red", "blue"])
        sample.metadata["albef.answers"] = nil
        #expect(message { try export(sample) }?.hasSuffix("give one with --answers answers.json") == true)
        let empty = try write("[]")
        #expect(message { try export(sample) { $0.answers = empty } }?.hasSuffix("the list is empty") == true)
        let retrieval = SampleModel("answers")
        #expect(message { try export(retrieval) { $0.answers = file } }?.contains("no answer decoder") == true)
    }

    @Test("names fall into weights, twins, queues and position numbers", arguments: [
        ("text_encoder.bert.encoder.layer.3.output.dense.bias", CheckpointKey.weight("text_encoder.encoder.layer.3.output.dense.bias")),
        ("module.text_encoder.bert.embeddings.LayerNorm.bias", .weight("text_encoder.embeddings.LayerNorm.bias")),
        ("text_encoder.cls.predictions.bias", .weight("text_encoder.cls.predictions.bias")), ("temp", .weight("temp")),
        ("visual_encoder_m.norm.bias", .twin), ("cls_head_m.0.weight", .twin), ("module.text_proj_m.bias", .twin),
        ("image_queue", .queue), ("idx_queue", .queue), ("queue_ptr", .queue), ("module.text_queue", .queue),
        ("text_encoder.bert.embeddings.position_ids", .positionIDs), ("text_decoder_m.bert.embeddings.position_ids", .twin),
        ("", .weight("")), (".", .weight(".")), ("_m", .twin),
    ])
    func names(name: String, key: CheckpointKey) { #expect(KeyRules.classify(name) == key) }
}
