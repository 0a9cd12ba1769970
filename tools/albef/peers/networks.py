"""The project's PyTorch reference as networks of fixed shapes, with random weights: what the other runtimes run."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from albef.model.bert import Bert, BertLanguageModel, initialize_bert
from albef.model.config import ModelConfig
from albef.model.vision import VisionTransformer
from albef.peers.parts import PUBLISHED, QUESTION_TOKENS, Network

CONFIG = ModelConfig()


class ImageNetwork(nn.Module):
    """[1, 3, R, R] to image tokens and a unit feature."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = VisionTransformer(CONFIG)
        self.projection = nn.Linear(CONFIG.vision_width, CONFIG.embed_dim)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        tokens = self.encoder(image)
        return tokens, nn.functional.normalize(self.projection(tokens[:, 0]), dim=-1)


class TextNetwork(nn.Module):
    """Ids [1, T] to text tokens and a unit feature."""

    def __init__(self) -> None:
        super().__init__()
        # The fusing layers are not this network's.
        self.bert = bert(CONFIG.fusion_layer, CONFIG.fusion_layer)
        self.projection = nn.Linear(CONFIG.text_width, CONFIG.embed_dim)

    def forward(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        tokens = self.bert.text(ids)
        return tokens, nn.functional.normalize(self.projection(tokens[:, 0]), dim=-1)


class FusionNetwork(nn.Module):
    """Text tokens [B, T, D] and image tokens [B, S, D] to match logits."""

    def __init__(self) -> None:
        super().__init__()
        self.bert = bert(CONFIG.text_layers - CONFIG.fusion_layer, 0)
        self.head = nn.Linear(CONFIG.text_width, 2)

    def forward(self, text: Tensor, image: Tensor) -> Tensor:
        return self.head(self.bert.fuse(text, None, image)[:, 0])


class QuestionNetwork(nn.Module):
    """Question ids [1, T] and image tokens [1, S, D] to question states."""

    def __init__(self) -> None:
        super().__init__()
        self.bert = bert(CONFIG.text_layers, CONFIG.fusion_layer)

    def forward(self, ids: Tensor, image: Tensor) -> Tensor:
        return self.bert.multi_modal(ids, None, image)


class DecoderNetwork(nn.Module):
    """Answers [B, T], the token behind each of theirs [B, T] and question states, repeated for each [B, Q, D], to the
    log-probability of each answer."""

    def __init__(self) -> None:
        super().__init__()
        self.decoder = BertLanguageModel(bert(CONFIG.decoder_layers, 0))

    def forward(self, ids: Tensor, targets: Tensor, states: Tensor) -> Tensor:
        logits = self.decoder.cls(self.decoder.bert.decode(ids, None, states, None)).flatten(0, 1)
        return logits.log_softmax(-1).gather(1, targets.flatten()[:, None]).view(ids.shape).sum(1)


def bert(layers: int, fusion_layer: int) -> Bert:
    return Bert(
        vocab_size=CONFIG.vocab_size, width=CONFIG.text_width, memory_width=CONFIG.vision_width, layers=layers,
        fusion_layer=fusion_layer, heads=CONFIG.text_heads, max_positions=CONFIG.max_positions,
    )  # fmt: skip


KINDS: dict[str, type[nn.Module]] = {
    "image": ImageNetwork, "text": TextNetwork, "fusion": FusionNetwork, "question": QuestionNetwork,
    "decoder": DecoderNetwork,
}  # fmt: skip


def build(network: Network, cache: Path) -> nn.Module:
    """The network in evaluation mode; its random weights are made once and kept, since making them takes longest."""
    file = cache / f"{network.weights}.safetensors"
    if not file.exists():
        torch.manual_seed(1)
        module = KINDS[network.kind]()
        initialize_bert(module, 0.02)
        cache.mkdir(parents=True, exist_ok=True)
        tensors = {name: tensor.contiguous().clone() for name, tensor in module.state_dict().items()}
        save_file(tensors, file.with_suffix(".partial"))
        file.with_suffix(".partial").rename(file)
    with torch.device("meta"):
        module = KINDS[network.kind]()
    module.load_state_dict(load_file(file), assign=True)
    if network.kind == "decoder":
        head = module.decoder.cls.predictions
        head.decoder.weight, head.decoder.bias = module.decoder.bert.embeddings.word_embeddings.weight, head.bias
    return module.eval().requires_grad_(False)


def example(network: Network) -> dict[str, Tensor]:
    """Inputs by name."""
    torch.manual_seed(2)
    batch, tokens, width = network.batch, network.tokens, PUBLISHED.width

    def ids() -> Tensor:
        return torch.randint(1000, CONFIG.vocab_size, (batch, tokens))

    image = torch.randn(batch, PUBLISHED.image_tokens, width)
    if network.kind == "image":
        return {"image": torch.randn(1, 3, CONFIG.image_size, CONFIG.image_size)}
    if network.kind == "text":
        return {"ids": ids()}
    if network.kind == "fusion":
        return {"text": torch.randn(batch, tokens, width), "image": image}
    if network.kind == "question":
        return {"ids": ids(), "image": image}
    # Each row its own memory, as a batch with repeated states is passed.
    return {"ids": ids(), "targets": ids(), "states": torch.randn(1, QUESTION_TOKENS, width).repeat(batch, 1, 1)}
