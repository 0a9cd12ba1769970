"""The weights that a run starts from: DeiT and BERT files, then a checkpoint of this or of an earlier task."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn

from albef.checkpoint import read_checkpoint
from albef.conversion import Conversion, convert
from albef.load_report import LoadReport, copy_fresh_twins, load_into
from albef.model import ModelConfig
from albef.train.tasks import Task


def initialize(
    task: Task, *, deit: Path | None = None, bert: Path | None = None, init: Path | None = None
) -> list[LoadReport]:
    """Loads what is given, in the official order, and reports each file. A file that does not fit raises ValueError.

    As in the official code, twins start as copies of the DeiT and BERT weights, and ``init`` brings twins of its own where
    it has some. Where it has none, the official twins keep the constructor's weights, which is how NLVR2's teacher
    starts untrained; here they become copies of the loaded student, unless the configuration sets
    ``twins_from_constructor``.
    """
    model, config = task.model, task.config
    twins = hasattr(model, "visual_encoder_m")
    reports = []
    if deit:
        conversion = from_deit(read_checkpoint(deit).tensors, config)
        report = load_into(model, conversion, str(deit))
        reports.append(_only(report, lambda name: name.startswith("visual_encoder.")))
    if bert:
        conversion = from_bert(read_checkpoint(bert).tensors, model)
        report = load_into(model, conversion, str(bert))
        reports.append(_only(report, lambda name: _is_plain_bert(name, conversion)))
    for report in reports:
        report.require()
    if reports and twins:
        model.copy_to_twins()
    if init:
        report = load_into(model, convert(read_checkpoint(init).tensors, task.name, config), str(init))
        report.require()
        if twins and not task.settings.get("twins_from_constructor", False):
            copy_fresh_twins(model, report)
        reports.append(report)
    return reports


def from_deit(tensors: dict[str, Tensor], config: ModelConfig) -> Conversion:
    """``deit_base_patch16_224`` for the image encoder: names as in timm, the classifier is left out."""
    out = Conversion(given=list(tensors))
    for name, tensor in tensors.items():
        if not name.startswith("head."):
            out.add(f"visual_encoder.{name}", name, tensor)
    out.interpolate("visual_encoder.pos_embed", config.grid)
    return out


def from_bert(tensors: dict[str, Tensor], model: nn.Module) -> Conversion:
    """``bert-base-uncased`` for the text encoder and, where there is one, the answer decoder.

    Layers meet by number, as far as the model has them; cross-attention, and layers beyond BERT's, stay fresh. Older files
    call the LayerNorms' vectors gamma and beta; pooler and next-sentence head have no place.
    """
    out = Conversion(given=list(tensors))
    state = model.state_dict()
    for name, tensor in tensors.items():
        new = name.removesuffix("gamma") + "weight" if name.endswith("LayerNorm.gamma") else name
        new = new.removesuffix("beta") + "bias" if new.endswith("LayerNorm.beta") else new
        if not new.startswith(("bert.", "cls.")):
            new = f"bert.{new}"
        for root in ("text_encoder", "text_decoder"):
            for target in (f"{root}.{new}", f"{root}.{new.removeprefix('bert.')}"):
                if target in state:
                    out.add(target, name, tensor)
    return out


def _is_plain_bert(name: str, conversion: Conversion) -> bool:
    """Whether a text encoder's tensor should have come from a BERT file: in a layer that the file has, not crossing."""
    if not name.startswith(("text_encoder.", "text_decoder.")) or ".crossattention." in name:
        return False
    if ".encoder.layer." not in name:
        return True
    head, _, rest = name.partition(".encoder.layer.")
    prefix = f"{head}.encoder.layer.{rest.split('.')[0]}."
    return any(other.startswith(prefix) for other in conversion.tensors)


def _only(report: LoadReport, expected) -> LoadReport:
    """A report on a file that holds a part of the model: only tensors that it should have held can be missing."""
    report.torn = [name for name in report.fresh if expected(name)]
    return report
