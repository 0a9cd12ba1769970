import AlbefModelFile

/// A place where the range of a layer's inputs can move into its weights, because what makes the inputs can be scaled too.
///
/// Two kinds are exact. A pre-norm LayerNorm is read by linear layers alone, so its weight and bias take the scale (image
/// encoder; a BERT LayerNorm is read by the residual as well, and stays). Values pass through attention channel by channel,
/// so the rows of the value projection take the scale for the output projection.
struct SmoothingSite: Sendable, Equatable {
    /// Rows of a tensor that make the inputs, one an input.
    struct Producer: Sendable, Equatable {
        let tensor: String
        /// The row of input 0.
        let start: Int
    }

    /// What is divided by the scales.
    let producers: [Producer]
    /// The linear layers that read the inputs, without `.weight`: all of them.
    let consumers: [String]
    /// Inputs.
    let width: Int

    /// Every place of a model, in the order of its layers.
    static func all(_ configuration: ModelConfiguration, _ layout: ModelLayout) -> [SmoothingSite] {
        var sites: [SmoothingSite] = []
        let names = Set(layout.entries.map(\.name))
        let vision = configuration.visionWidth
        for number in 0..<configuration.visionLayers {
            let block = "visual_encoder.blocks.\(number)."
            sites.append(SmoothingSite(norm: block + "norm1", reader: block + "attn.qkv", width: vision))
            sites.append(
                SmoothingSite(values: block + "attn.qkv", from: 2 * vision, readers: [block + "attn.proj"], width: vision))
            sites.append(SmoothingSite(norm: block + "norm2", reader: block + "mlp.fc1", width: vision))
        }
        let stacks = [
            ("text_encoder.", configuration.textLayers), ("text_decoder.", configuration.decoderLayers),
        ]
        for (root, layers) in stacks {
            for number in 0..<layers {
                for kind in ["attention", "crossattention"] {
                    let name = { (layer: Int) in root + "encoder.layer.\(layer).\(kind)." }
                    // The second layer of a pair for two pictures has the first one's values.
                    guard names.contains(name(number) + "self.value.weight") else { continue }
                    var readers = [name(number) + "output.dense"]
                    let next = name(number + 1)
                    if names.contains(next + "output.dense.weight"), !names.contains(next + "self.value.weight") {
                        readers.append(next + "output.dense")
                    }
                    sites.append(
                        SmoothingSite(
                            values: name(number) + "self.value", from: 0, readers: readers, width: configuration.textWidth))
                }
            }
        }
        return sites
    }

    private init(norm: String, reader: String, width: Int) {
        producers = [Producer(tensor: norm + ".weight", start: 0), Producer(tensor: norm + ".bias", start: 0)]
        consumers = [reader]
        self.width = width
    }

    private init(values: String, from start: Int, readers: [String], width: Int) {
        producers = [Producer(tensor: values + ".weight", start: start), Producer(tensor: values + ".bias", start: start)]
        consumers = readers
        self.width = width
    }
}

/// A smoothing that was chosen for a site.
struct Fold: Sendable, Equatable {
    let site: SmoothingSite
    /// How much of the inputs' range moves into the weights, 0…1.
    let share: Float
    /// Binary logarithm of each input's scale.
    let exponents: [Int32]
    /// The error of the layers' int8 outputs on sampled inputs, one minus the cosine, without the fold and with it.
    let errorBefore: Double
    let errorAfter: Double
}
