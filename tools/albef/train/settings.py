"""What a configuration file may say: one dataclass a task, read from JSON or YAML and checked key by key."""

from __future__ import annotations

import difflib
import types
import typing
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from albef.model import ModelConfig
from albef.train.official import is_official, translate
from albef.train.settings_file import SettingsError, read_values


def number(default: Any = MISSING, *, least: float | None = None, most: float | None = None) -> Any:
    """A field with a range."""
    return field(default=default, metadata={"least": least, "most": most})


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What all tasks share. Defaults are the published values; files are relative to the data folder."""

    model: dict[str, Any]  # the shape under the keys of ModelConfig; the vocabulary gives ``vocab_size``
    train_files: list[str]
    vocabulary: str = "vocab.txt"
    image_root: str = ""  # folder of the pictures
    validation_file: str | None = None
    validation_limit: int | None = number(None, least=1)
    batch_size: int = number(least=1)  # samples of a micro-batch: of one pass of one process
    accumulate: int = number(1, least=1)  # micro-batches of a process in a step
    epochs: int = number(least=1)
    schedule: Literal["smooth", "steps"] = "smooth"  # "steps": as published, piecewise constant
    lr: float = number(least=0)
    min_lr: float = number(least=0)
    warmup: float = number(0.0, least=0, most=1)  # of "smooth": share of the run
    warmup_lr: float = number(0.0, least=0)  # of "steps"
    warmup_epochs: int = number(0, least=0)  # of "steps": units of 100 steps inside epoch 0
    weight_decay: float = number(0.02, least=0)
    clip: float | None = number(None, least=0)  # greatest gradient norm
    dropout: float = number(0.1, least=0, most=1)
    initializer_range: float = number(0.02, least=0)
    bfloat16: bool = False
    gradient_checkpointing: bool = False
    augment: Literal["none", "pretrain", "finetune", "grounding"] = "none"  # pictures in training
    flips: bool = True  # whether augmentation mirrors pictures: not where texts say "left"
    frozen: list[str] = field(default_factory=list)  # modules that are not trained: "visual_encoder"

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class DistilledSettings(Settings):
    """Tasks with momentum twins."""

    alpha: float = number(0.4, least=0, most=1)  # weight of distillation
    alpha_ramp: bool = True  # alpha grows from 0 during epoch 0
    momentum: float = number(0.995, least=0, most=1)
    twins_from_constructor: bool = False  # where start weights hold no twins, theirs are random, as in the official code


@dataclass(frozen=True, kw_only=True)
class PretrainSettings(DistilledSettings):
    """Contrast, matching, masked words."""

    queue_size: int = number(65536, least=1)
    temperature: float = number(0.07, least=0)
    easy_negatives: float = number(0.0, least=0, most=1)
    mlm_probability: float = number(0.15, least=0, most=1)
    validation_k: int = number(128, least=0)


@dataclass(frozen=True, kw_only=True)
class RetrievalSettings(DistilledSettings):
    """Contrast and matching."""

    queue_size: int = number(65536, least=1)
    temperature: float = number(0.07, least=0)
    easy_negatives: float = number(0.0, least=0, most=1)
    validation_k: int = number(128, least=0)


@dataclass(frozen=True, kw_only=True)
class VQASettings(DistilledSettings):
    """Questions and answers."""

    answer_file: str
    questions_per_picture: int = number(1, least=1)
    image_roots: dict[str, str] = field(default_factory=dict)  # folder of the pictures by ``dataset`` of a record
    validation_k: int = number(128, least=1)


@dataclass(frozen=True, kw_only=True)
class EntailmentSettings(DistilledSettings):
    """A sentence about a picture."""

    alpha_ramp: bool = False
    sentences_per_picture: int = number(1, least=1)


@dataclass(frozen=True, kw_only=True)
class NLVRPretrainSettings(Settings):
    """Text assignment."""

    easy_negatives: float = number(0.0, least=0, most=1)


@dataclass(frozen=True, kw_only=True)
class NLVRSettings(DistilledSettings):
    """A sentence about two pictures."""

    sentences_per_picture: int = number(1, least=1)


SETTINGS: dict[str, type[Settings]] = {
    "pretrain": PretrainSettings, "retrieval": RetrievalSettings, "grounding": RetrievalSettings, "vqa": VQASettings,
    "entailment": EntailmentSettings, "nlvr_pretrain": NLVRPretrainSettings, "nlvr": NLVRSettings,
}  # fmt: skip


def read_settings(task: str, file: str | Path) -> Settings:
    """Reads a configuration of ours or one of the official repository; a wrong or unknown key is an error."""
    values = read_values(file)
    if is_official(values):
        values = translate(task, values, Path(file))
    return settings_from(SETTINGS[task], values, file)


def settings_from(kind: type[Settings], values: dict[str, Any], file: str | Path) -> Settings:
    """Checks names, types and ranges of ``values`` and builds ``kind``; ``file`` is for the messages."""
    known = {each.name: each for each in fields(kind)}
    for key in values:
        if key not in known:
            near = difflib.get_close_matches(key, known, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise SettingsError(f"{file}: unknown key {key!r}{hint}")
    annotations = typing.get_type_hints(kind)
    checked: dict[str, Any] = {}
    for name, each in known.items():
        if name in values:
            checked[name] = _checked(values[name], annotations[name], f"{file}: key {name!r}")
            _check_range(checked[name], each.metadata, f"{file}: key {name!r}")
        elif each.default is MISSING and each.default_factory is MISSING:
            raise SettingsError(f"{file}: key {name!r} is missing")
    try:
        ModelConfig.from_dict(checked["model"] | {"vocab_size": 1})
    except (TypeError, ValueError) as error:
        raise SettingsError(f"{file}: key 'model': {error}") from error
    return kind(**checked)


def _checked(value: Any, kind: Any, where: str) -> Any:
    """``value`` as ``kind``, where that loses nothing: 1 is a number, and so is "1e-5", YAML 1.1's reading of 1e-5."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return None if value is None else _checked(value, inner[0], where)
    if origin is Literal:
        if value not in inner:
            raise SettingsError(f"{where}: found {value!r}, expected one of {', '.join(map(repr, inner))}")
        return value
    if origin is list:
        if not isinstance(value, list):
            raise SettingsError(f"{where}: found {value!r}, expected a list")
        return [_checked(item, inner[0], f"{where}, item {number}") for number, item in enumerate(value)]
    if origin is dict:
        if not isinstance(value, dict):
            raise SettingsError(f"{where}: found {value!r}, expected an object")
        return value if inner[1] is Any else {key: _checked(item, inner[1], f"{where}, {key!r}") for key, item in value.items()}
    if kind is float:
        value = _as_number(value)
    names = {float: "a number", int: "a whole number", bool: "true or false", str: "a text"}
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise SettingsError(f"{where}: found {value!r}, expected {names[kind]}")
    return value


def _as_number(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | str):
        return value
    try:
        return float(value)
    except ValueError:
        return value


def _check_range(value: Any, metadata: typing.Mapping[str, Any], where: str) -> None:
    least, most = metadata.get("least"), metadata.get("most")
    if value is None or isinstance(value, bool):
        return
    if least is not None and not value >= least:
        raise SettingsError(f"{where}: found {value}, expected at least {least}")
    if most is not None and not value <= most:
        raise SettingsError(f"{where}: found {value}, expected at most {most}")

