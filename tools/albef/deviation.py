"""How far the int8 runtime is from this float32 reference at the published size: ``python -m albef.deviation``.

Texts of chosen lengths make it run either form of cross-attention to image tokens (docs/arithmetic.md). Weights are random
unless a checkpoint of retrieval or pre-training is given; ``--document`` puts the table into a markdown file between two
comments. Exit code 1 if a bound is broken.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from safetensors.numpy import load_file

from albef.golden import caption_tensors
from albef.gradcam import cross_attention
from albef.image import load_pixels, normalize_pixels
from albef.loading import Loaded, load_model
from albef.metrics import table
from albef.quantization import absorbs
from albef.runtime import ROOT, CommandError, Runtime
from albef.tables import TableError, replace_between
from albef.text import Tokenizer, normalize_caption

TOKENS = (12, 30, 62, 63, 100)
WORDS = 30
# Of each measure: the least that its mean and its worst value may be. The last is an absolute difference: the most.
BOUNDS = {
    "image_feature": (0.998, 0.996), "text_feature": (0.998, 0.996), "text_tokens": (0.995, 0.97),
    "fusion_tokens": (0.995, 0.97), "gradcam": (None, 0.93), "itc_gradcam": (None, 0.93),
}  # fmt: skip
PROBABILITY_BOUND = 0.05
TITLES = {
    "image_feature": "image feature", "text_feature": "text feature", "text_tokens": "text rows",
    "fusion_tokens": "fused rows", "gradcam": "heatmap of the match", "itc_gradcam": "of the similarity",
}  # fmt: skip


@dataclass
class Row:
    """What was measured with texts of one length: cosines of rows or correlations of maps, and match probabilities."""

    tokens: int
    absorbed: bool
    likeness: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in BOUNDS})
    probability: list[float] = field(default_factory=list)

    def add(self, own: dict[str, np.ndarray], golden: dict[str, np.ndarray]) -> None:
        """One pair of picture and text, in the runtime and here."""
        for name, values in self.likeness.items():
            one, two = own[name].astype(np.float64), golden[name].astype(np.float64)
            if one.shape != two.shape:
                raise ValueError(f"{name} is {one.shape} in the runtime, {two.shape} here")
            if name.endswith("gradcam"):
                # A map of all tokens counts as what `ground` shows: their mean.
                values.append(correlation(*(each.reshape(-1, *each.shape[-2:]).mean(0).ravel() for each in (one, two))))
            else:
                values += cosines(np.atleast_2d(one), np.atleast_2d(two))
        self.probability.append(float(abs(matching(own["itm_logits"]) - matching(golden["itm_logits"]))))

    def broken(self) -> list[str]:
        """What is out of bounds; a value that is no number is."""
        out = []
        for name, (mean, worst) in BOUNDS.items():
            values = self.likeness[name]
            if not (min(values) >= worst and (mean is None or float(np.mean(values)) >= mean)):
                out.append(f"{self.tokens} tokens, {TITLES[name]}: {figures(values)}")
        if not max(self.probability) <= PROBABILITY_BOUND:
            out.append(f"{self.tokens} tokens, match probability: {max(self.probability):.4f}")
        return out


def cosines(one: np.ndarray, two: np.ndarray) -> list[float]:
    """Row by row."""
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(two, axis=1)
    return ((one * two).sum(1) / lengths).tolist()


def correlation(one: np.ndarray, two: np.ndarray) -> float:
    """Pearson's."""
    return cosines((one - one.mean())[None], (two - two.mean())[None])[0]


def matching(logits: np.ndarray) -> float:
    """The probability of a match."""
    return float(1 / (1 + np.exp(np.float64(logits[0]) - np.float64(logits[1]))))


def figures(values: list[float]) -> str:
    """Mean and worst."""
    return f"{np.mean(values):.4f}, {min(values):.4f}"


def text_of(tokenizer: Tokenizer, tokens: int, generator: random.Random, words: int = WORDS) -> str:
    """A caption of exactly so many tokens, ``[CLS]`` included, in at most so many words."""
    whole = [word for word in tokenizer.vocabulary if len(word) >= 2 and word.isascii() and word.isalpha()]
    ends = [piece[2:] for piece in tokenizer.vocabulary if piece.startswith("##") and piece[2:].isascii() and piece[2:].isalpha()]
    pieces = tokens - 1
    count = min(words, pieces)
    out = []
    for place in range(count):
        wanted = pieces // count + (place < pieces % count)
        for _ in range(10_000):
            word = generator.choice(whole) + "".join(generator.choices(ends, k=wanted - 1))
            if len(tokenizer.pieces(word)) == wanted:
                break
        else:
            raise ValueError(f"found no word of {wanted} pieces in this vocabulary")
        out.append(word)
    return " ".join(out)


def measure(loaded: Loaded, runtime: Runtime, packed: Path, options: argparse.Namespace) -> list[Row]:
    """Each picture with its own texts of each length."""
    model, config = loaded.model, loaded.model.config
    core = cross_attention(model.bert, config.fusion_layer)
    rows = [Row(tokens, absorbs(core, tokens, config.grid**2 + 1)) for tokens in options.tokens]
    generator = random.Random(options.seed)
    with TemporaryDirectory() as folder:
        trace = Path(folder) / "trace.safetensors"
        for picture in options.pictures:
            raw = torch.from_numpy(load_pixels(picture, config.image_size).copy())
            pixels = normalize_pixels(raw[None], config.mean, config.std)
            with torch.no_grad():
                image_tokens = model.visual_encoder(pixels)
            for row in rows:
                for _ in range(options.texts):
                    text = text_of(loaded.tokenizer, row.tokens, generator, config.max_words)
                    ids = torch.tensor([loaded.tokenizer.encode(normalize_caption(text, config.max_words))])
                    golden = {name: value.numpy() for name, value in caption_tensors(model, pixels, image_tokens, ids).items()}
                    runtime.run("albef-infer", "trace", "-m", packed, "--image", picture, "--text", text, "-o", trace)
                    own = load_file(trace)
                    if not np.array_equal(own["input_ids"], golden["input_ids"]) or len(ids[0]) != row.tokens:
                        raise ValueError(f"'{text}' has other tokens in the runtime")
                    row.add(own, golden)
    return rows


def describe(rows: list[Row], options: argparse.Namespace, what: str) -> str:
    """The table, and what it is of."""
    names = [name for name in BOUNDS if name != "image_feature"]
    body = [
        [str(row.tokens), "absorbed" if row.absorbed else "projected", *(figures(row.likeness[name]) for name in names),
         f"{max(row.probability):.4f}"]
        for row in rows
    ]  # fmt: skip
    images = [value for row in rows for value in row.likeness["image_feature"]]
    count = len(options.pictures) * options.texts
    header = ["tokens", "form", *(TITLES[name] for name in names), "match probability"]
    lines = [
        f"{what}, {len(options.pictures)} pictures of `fixtures/demo`, {count} texts of each length, int8 against float32 in",
        "PyTorch: cosines of features and rows and correlations of heatmaps, each on average and at worst; of the match",
        "probability the greatest difference.",
        f"Image features: {figures(images)}.",
        "",
        table(header, body),
    ]
    return "\n".join(lines)


def random_checkpoint(folder: Path) -> Path:
    """Random weights of the published size, as ``albef.random_checkpoint`` makes them."""
    path = folder / "retrieval.safetensors"
    command = [sys.executable, "-m", "albef.random_checkpoint", "--task", "retrieval", "-o", str(path)]
    subprocess.run(command, check=True, stdout=2, cwd=Path(__file__).resolve().parents[1])
    return path


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m albef.deviation", description=__doc__)
    parser.add_argument("--checkpoint", type=Path, help="default: random weights of the published size, seed 1")
    parser.add_argument("--tokens", type=int, nargs="+", default=list(TOKENS), help="lengths of the texts (%(default)s)")
    parser.add_argument("--picture-count", type=int, default=8, help="pictures of fixtures/demo (%(default)s)")
    parser.add_argument("--texts", type=int, default=2, help="texts of each length at a picture (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the texts (%(default)s)")
    parser.add_argument("--binaries", type=Path, help="folder of the built commands")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--document", type=Path, help="markdown with <!-- deviation --> and <!-- /deviation -->")
    options = parser.parse_args()
    if min(options.tokens) < 2 or options.picture_count < 1 or options.texts < 1:
        parser.error("texts have at least 2 tokens; at least one picture and one text are needed")
    pictures = sorted(path for path in (ROOT / "fixtures" / "demo").iterdir() if path.suffix in (".jpg", ".png"))
    # Spread over the list, which is sorted by what the pictures show.
    options.pictures = pictures[:: max(1, len(pictures) // options.picture_count)][: options.picture_count]
    return options


def main() -> int:
    options = parse()
    torch.set_num_threads(options.threads)
    try:
        with TemporaryDirectory() as folder:
            runtime = Runtime(options.binaries, options.threads)
            checkpoint = options.checkpoint or random_checkpoint(Path(folder))
            packed = Path(folder) / "int8.albef"
            runtime.export(checkpoint, packed, "int8")
            what = "Random weights of the published size" if options.checkpoint is None else f"`{checkpoint.name}`"
            rows = measure(load_model(checkpoint), runtime, packed, options)
        content = describe(rows, options, what)
        if options.document:
            text = options.document.read_text(encoding="utf-8")
            options.document.write_text(replace_between(text, "deviation", content, options.document), encoding="utf-8")
    except (CommandError, TableError, ValueError, OSError) as error:
        print(f"deviation: {error}", file=sys.stderr)
        return 65
    print(content)
    broken = [line for row in rows for line in row.broken()]
    for line in broken:
        print(f"out of bounds: {line}", file=sys.stderr)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
