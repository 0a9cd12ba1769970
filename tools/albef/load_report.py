"""Loading tensors into a model, with a report that a person can read: what is harmless, what is fatal."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import torch
from torch import nn

from albef.checkpoint import is_twin_or_queue, shared_names
from albef.conversion import Conversion

_HEADS = (
    "cls_head", "ta_head", "itm_head", "vision_proj", "text_proj", "temp", "text_encoder.cls", "text_decoder",
    "text_decoder.cls",
)  # fmt: skip
_QUEUES = ("image_queue", "text_queue", "idx_queue", "queue_ptr")


def component(name: str) -> str:
    """The part of the model that a tensor belongs to; a language head is a part of its own."""
    head, _, rest = name.partition(".")
    return f"{head}.cls" if rest.startswith("cls.") else head


def kind(name: str) -> str:
    """ "twins", "queues" or the component."""
    if name in _QUEUES:
        return "queues"
    return "twins" if name.split(".")[0].endswith("_m") else component(name)


@dataclass
class LoadReport:
    """What became of a checkpoint's tensors and of a model's. Names are the model's, but ``ignored`` has the file's."""

    source: str
    loaded: list[str] = field(default_factory=list)
    renamed: dict[str, str] = field(default_factory=dict)  # the file's name of each
    interpolated: dict[str, tuple[int, int]] = field(default_factory=dict)  # grid before and after
    fresh: list[str] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    misfits: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = field(default_factory=dict)  # shape found, expected
    torn: list[str] = field(default_factory=list)  # fresh, although other tensors of the component were loaded
    surplus: list[str] = field(default_factory=list)  # ignored, although others of the component were loaded
    unequal: list[tuple[str, str]] = field(default_factory=list)  # two names of one tensor with different contents

    def problems(self, complete: bool = False) -> list[str]:
        """What must not be: one line each. With ``complete`` every student tensor has to be loaded."""
        out = []
        if not self.loaded:
            out.append("no tensor of the file belongs to the model: is it a checkpoint of another kind?")
        for name, (found, expected) in self.misfits.items():
            out.append(f"{name} has shape {list(found)}, the model needs {list(expected)}")
        lost = [name for name in self.fresh if not is_twin_or_queue(name)] if complete else self.torn
        if lost:
            out.append(f"the checkpoint lacks {_listed(lost)}")
        if self.surplus:
            out.append(f"the model has no place for {_listed(self.surplus)}")
        out += [f"{one} and {two} are one tensor of the model and differ" for one, two in self.unequal]
        return out

    def require(self, complete: bool = False) -> None:
        """Raises ValueError with every problem."""
        if problems := self.problems(complete):
            raise ValueError(f"{self.source}: " + "; ".join(problems))

    def text(self) -> str:
        """A few lines: counts by part of the model, an example of each group, and whether it is harmless."""
        lines = [f"{self.source}:", f"  loaded        {_counted(self.loaded)}"]
        if self.renamed:
            name, source = next(iter(self.renamed.items()))
            lines.append(f"  renamed       {len(self.renamed)}, as {source} -> {name}")
        for name, (old, new) in self.interpolated.items():
            lines.append(f"  interpolated  {name} from {old} x {old} to {new} x {new}")
        for names, what, reasons in (
            (self.fresh, "left fresh", _FRESH),
            (self.ignored, "ignored", _IGNORED),
        ):  # fmt: skip
            groups: dict[str, list[str]] = {}
            for name in names:
                groups.setdefault(kind(name), []).append(name)
            for group, members in groups.items():
                known = group if group in ("twins", "queues") else "head" if group in _HEADS else "other"
                lines.append(f"  {what:<13} {group}: {_listed(members)}; {reasons[known]}")
        lines += [f"  FATAL         {problem}" for problem in self.problems()]
        return "\n".join(lines)


_FRESH = {
    "twins": "harmless, the file has none",
    "queues": "harmless, they fill while training",
    "head": "harmless where this task trains a head of its own",
    "other": "the whole part starts untrained",
}
_IGNORED = {
    "twins": "harmless, this model has none",
    "queues": "harmless, this model has none or of another size",
    "head": "harmless, of another task",
    "other": "unknown to this model",
}


def _counted(names: list[str]) -> str:
    parts = ", ".join(f"{group} {count}" for group, count in Counter(map(kind, names)).items())
    return f"{len(names)} tensors" + (f" ({parts})" if parts else "")


def _listed(names: list[str]) -> str:
    if len(names) == 1:
        return f"1 tensor, {names[0]}"
    return f"{len(names)} tensors, first {names[0]}, last {names[-1]}"


@torch.no_grad()
def load_into(model: nn.Module, conversion: Conversion, source: str = "checkpoint") -> LoadReport:
    """Loads every tensor that has a place, and reports. Nothing is printed; call ``require`` to refuse a bad file."""
    state = model.state_dict()
    first = shared_names(model)
    report = LoadReport(source, interpolated=dict(conversion.interpolated))
    accepted = {}
    for name, tensor in conversion.tensors.items():
        if name not in state:
            continue
        if state[name].shape == tensor.shape:
            accepted[name] = tensor
        elif name not in _QUEUES and not name.endswith("position_ids"):
            report.misfits[name] = (tuple(tensor.shape), tuple(state[name].shape))
    model.load_state_dict(accepted, strict=False)
    report.loaded = list(accepted)
    report.renamed = {name: conversion.sources[name] for name in accepted if conversion.sources[name] != name}
    report.unequal = [
        (first[name], name) for name, tensor in accepted.items()
        if name in first and first[name] in accepted and not torch.equal(tensor, accepted[first[name]])
    ]  # fmt: skip
    covered = {first.get(name, name) for name in accepted}
    report.fresh = [
        name for name in state
        if first.get(name, name) not in covered and name not in report.misfits and not name.endswith("position_ids")
    ]  # fmt: skip
    used = {conversion.sources[name] for name in (*accepted, *report.misfits)}
    report.ignored = [name for name in conversion.given if name not in used and not name.endswith("position_ids")]
    begun = {component(name) for name in accepted}
    report.torn = [name for name in report.fresh if component(name) in begun]
    report.surplus = [name for name in report.ignored if component(name) in begun and name not in _QUEUES]
    return report


def load_student(model: nn.Module, conversion: Conversion, source: str = "checkpoint") -> LoadReport:
    """Loads a checkpoint that must hold every student tensor; twins and queues may be absent or superfluous."""
    report = load_into(model, conversion, source)
    report.require(complete=True)
    return report


@torch.no_grad()
def copy_fresh_twins(model: nn.Module, report: LoadReport) -> None:
    """Gives the twins that the checkpoint lacked the student's weights."""
    state = model.state_dict()
    for name in report.fresh:
        head, _, rest = name.partition(".")
        if head.endswith("_m"):
            state[name].copy_(state[f"{head.removesuffix('_m')}.{rest}"])
