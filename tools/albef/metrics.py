"""``metrics.json`` beside a model: what ``albef-infer evaluate`` measured in both precisions, and how each figure is called.

    {"format": 1, "task": "retrieval", "parameters": 1804163, "checkpoint_sha256": "…", "measurements": [
      {"name": "retrieval", "annotations": "retrieval_test.json", "cases": 500,
       "metrics": {"txt_r1": {"float32": 96.6, "int8": 96.6}}}]}

Figures are percent. A measurement's name is that of its annotation file without the split, and with the mode where that is
not the default: ``grounding_itc``.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from safetensors import safe_open

PRECISIONS = ("float32", "int8")
PYTORCH = "pytorch"
# Of an annotation file's name.
SPLITS = ("_train", "_val", "_test")

_RECALL = {"txt": "image to text", "img": "text to image"}
_GROUNDING = {"peak_in_box": "heatmap peak in box", "box_accuracy": "box ranking"}
_EXPRESSIONS = {"": "expressions by looks", "_places": "expressions by place"}
_ACCURACY = {"vqa": "VQA accuracy", "entailment": "visual entailment accuracy", "nlvr": "NLVR2 accuracy"}
# What the README shows of a model of each task, in this order, where it was measured.
_CAPTIONS = (("retrieval", "txt_r1"), ("retrieval", "img_r1"))
_HEATMAPS = (
    ("grounding", "peak_in_box"), ("grounding_itc", "peak_in_box"), ("grounding_places", "peak_in_box"),
    ("grounding_places_itc", "peak_in_box"), ("grounding", "box_accuracy"),
)  # fmt: skip
HEADLINES = {
    "pretrain": _CAPTIONS, "retrieval": (*_CAPTIONS, *_HEATMAPS), "grounding": (*_HEATMAPS, *_CAPTIONS),
    "vqa": (("vqa", "accuracy"),), "entailment": (("entailment", "accuracy"),), "nlvr": (("nlvr", "accuracy"),),
}  # fmt: skip


class MetricsError(ValueError):
    """A metrics file that cannot be used; one line that names the file."""


@dataclass(frozen=True)
class Measurement:
    """One annotation file's figures, ``metrics[name][precision]`` in percent."""

    name: str
    annotations: str
    cases: int
    metrics: dict[str, dict[str, float]]


@dataclass(frozen=True)
class ModelMetrics:
    """Everything measured of one checkpoint."""

    task: str
    parameters: int
    checkpoint_sha256: str
    measurements: list[Measurement]

    def figure(self, measurement: str, metric: str) -> dict[str, float] | None:
        """A figure by precision, if it was measured."""
        return next((each.metrics.get(metric) for each in self.measurements if each.name == measurement), None)

    def headlines(self) -> list[tuple[str, dict[str, float]]]:
        """The label and figures by precision of what the README shows."""
        found = ((label(*key), self.figure(*key)) for key in HEADLINES.get(self.task, ()))
        return [(text, figures) for text, figures in found if figures is not None]


def label(measurement: str, metric: str) -> str:
    """How a figure is called: ``("retrieval", "txt_r1")`` is "R@1 image to text, re-ranked"."""
    if measurement == "retrieval":
        kind, _, rank = metric.removeprefix("itc_").partition("_r")
        how = "similarity alone" if metric.startswith("itc_") else "re-ranked"
        if metric.removeprefix("itc_") == "r_mean":
            return f"mean recall, {how}"
        if kind in _RECALL:
            return f"R@{rank} {_RECALL[kind]}, {how}"
    if measurement.startswith("grounding") and metric in _GROUNDING:
        rest = measurement.removeprefix("grounding")
        score = "similarity " if rest.endswith("_itc") else ""
        expressions = _EXPRESSIONS.get(rest.removesuffix("_itc"), rest.removesuffix("_itc").strip("_"))
        return f"{score}{_GROUNDING[metric]}, {expressions}" if expressions else f"{score}{_GROUNDING[metric]}"
    if measurement in _ACCURACY:
        name = _ACCURACY[measurement]
        return name if metric == "accuracy" else f"{name}, {metric}"
    return f"{measurement}: {metric}"


def measurement_name(annotations: str) -> str:
    """``grounding_places`` of ``…/grounding_places_test.json``."""
    stem = Path(annotations).name.removesuffix(".json")
    return next((stem.removesuffix(split) for split in SPLITS if stem.endswith(split)), stem)


def sha256_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def describe(checkpoint: Path, task: str, measurements: list[Measurement]) -> ModelMetrics:
    """The metrics of a safetensors checkpoint."""
    parameters = 0
    with safe_open(checkpoint, framework="np") as file:
        for name in file.keys():  # noqa: SIM118
            size = 1
            for length in file.get_slice(name).get_shape():
                size *= length
            parameters += size
    return ModelMetrics(task, parameters, sha256_of(checkpoint), measurements)


def write_metrics(path: Path, metrics: ModelMetrics) -> None:
    path.write_text(json.dumps({"format": 1} | asdict(metrics), indent=1) + "\n", encoding="utf-8")


def read_metrics(path: Path) -> ModelMetrics:
    """Reads a metrics file; what is missing or of another type is an error that names it."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] != 1:
            raise MetricsError(f"{path}: format {content['format']}, expected 1")
        measurements = [Measurement(**each) for each in content["measurements"]]
        for each in measurements:
            for metric, figures in each.metrics.items():
                if not set(PRECISIONS) <= set(figures):
                    raise MetricsError(f"{path}: {each.name}, {metric}: lacks a figure in float32 or int8")
        return ModelMetrics(content["task"], content["parameters"], content["checkpoint_sha256"], measurements)
    except (OSError, KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
        raise MetricsError(f"{path}: not a metrics file ({type(error).__name__}: {error})") from error


def table(header: list[str], rows: list[list[str]]) -> str:
    """A markdown table."""
    lines = [f"| {' | '.join(cells)} |" for cells in (header, *rows)]
    return "\n".join([lines[0], "|" + "---|" * len(header), *lines[1:]])
