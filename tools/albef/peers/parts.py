"""The work that is compared: networks at the published size, and how many products each takes.

Products are counted in the projected form that the published algorithm computes (every image token through keys and values of
every layer and pair), for every runtime alike, so that ratios compare.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Sizes:
    """The published base size at 384 x 384; the defaults of ``albef.model.ModelConfig``, readable without torch."""

    image_size: int = 384
    patch_size: int = 16
    width: int = 768
    heads: int = 12
    vision_layers: int = 12
    text_layers: int = 12
    fusion_layer: int = 6
    decoder_layers: int = 6
    vocab_size: int = 30522

    @property
    def image_tokens(self) -> int:
        return (self.image_size // self.patch_size) ** 2 + 1


PUBLISHED = Sizes()
QUESTION_TOKENS = 12
ANSWERS = 3128
SCORED_ANSWERS = 128
ANSWER_TOKENS = 5
PICTURES = 16


@dataclass(frozen=True)
class Network:
    """One network with fixed shapes: ``image``, ``text``, ``fusion``, ``question`` (text and fusion) or ``decoder``."""

    kind: str
    tokens: int = 0
    batch: int = 1

    @property
    def name(self) -> str:
        """Of its files."""
        return self.kind if self.kind == "image" else f"{self.kind}-{self.batch}x{self.tokens}"

    @property
    def weights(self) -> str:
        """Networks of one kind have equal weights."""
        return self.kind


@dataclass(frozen=True)
class Part:
    """A row of the comparison: networks that run one after the other, and our stage that does the same."""

    name: str
    label: str
    networks: tuple[Network, ...]
    stage: str
    task: str = "retrieval"
    # The runtimes that do it.
    peers: tuple[str, ...] = ("torch_fp32", "torch_int8", "ort_int8", "openvino_int8")
    # Compared without AVX-512 too.
    avx2: bool = False
    # Ours ranks answers that are longer than usual; what the peers do does not depend on the list.
    long_answers: bool = False

    @property
    def gmac(self) -> float:
        """Billions of multiply-adds."""
        return sum(multiply_adds(network) for network in self.networks) / 1e9


def multiply_adds(network: Network, sizes: Sizes = PUBLISHED) -> int:
    """Of linear layers and attention; norms, activations and heads of a row or two are left out."""
    tokens, image, width = network.tokens, sizes.image_tokens, sizes.width
    square = width * width
    layer = 12 * tokens * square + 2 * tokens * tokens * width
    cross = 2 * tokens * square + 2 * image * square + 2 * tokens * image * width
    text = sizes.fusion_layer * layer
    fusion = (sizes.text_layers - sizes.fusion_layer) * (layer + cross)
    if network.kind == "image":
        patches = (image - 1) * 3 * sizes.patch_size**2 * width
        each = patches + sizes.vision_layers * (12 * image * square + 2 * image * image * width)
    elif network.kind == "text":
        each = text
    elif network.kind == "fusion":
        each = fusion
    elif network.kind == "question":
        each = text + fusion
    elif network.kind == "decoder":
        # Keys and values of the question states are counted once, for whoever repeats them.
        question = 2 * QUESTION_TOKENS * square
        attention = layer + 2 * tokens * square + 2 * tokens * QUESTION_TOKENS * width
        words = tokens * (width + sizes.vocab_size) * width
        return sizes.decoder_layers * (question + network.batch * attention) + network.batch * words
    else:
        raise ValueError(f"no network '{network.kind}'")
    return each * network.batch


IMAGE = Network("image")
VQA = (IMAGE, Network("question", QUESTION_TOKENS), Network("decoder", ANSWER_TOKENS, SCORED_ANSWERS))
PARTS = (
    Part("image", "image encoder", (IMAGE,), "image_encoder", avx2=True),
    Part("text_30", "text encoder, 30 tokens", (Network("text", 30),), "text_encoder_30", avx2=True),
    Part("fusion_30", "fusion, one pair, 30 tokens", (Network("fusion", 30),), "fusion_pair_30", avx2=True),
    Part(
        "fusion_16_30", "fusion, one caption of 30 tokens and 16 pictures", (Network("fusion", 30, PICTURES),),
        "fusion_16_pictures_30", avx2=True,
    ),
    Part(
        "fusion_16_12", "fusion, one caption of 12 tokens and 16 pictures", (Network("fusion", 12, PICTURES),),
        "fusion_16_pictures_12",
    ),
    Part("vqa", f"whole VQA, {ANSWERS:,} answers of 1.6 pieces", VQA, "vqa", "vqa", ("openvino_int8",)),
    Part(
        "vqa_long", f"whole VQA, {ANSWERS:,} answers of one to six pieces", VQA, "vqa", "vqa", ("openvino_int8",),
        long_answers=True,
    ),
)  # fmt: skip


def part(name: str) -> Part:
    """By its name."""
    return next(each for each in PARTS if each.name == name)
