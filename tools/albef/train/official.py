"""Configurations of the official repository: their keys, in the terms of ours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from albef.train.settings_file import SettingsError, read_values

MARKS = ("optimizer", "schedular", "train_file")
"""Keys that tell an official configuration from one of ours."""

RENAMED = {
    "train_file": "train_files", "val_file": "validation_file", "image_root": "image_root", "answer_list": "answer_file",
    "batch_size": "batch_size", "batch_size_train": "batch_size", "queue_size": "queue_size", "momentum": "momentum",
    "temp": "temperature", "mlm_probability": "mlm_probability", "k_test": "validation_k", "warm_up": "alpha_ramp",
    "alpha": "alpha",
}  # fmt: skip

FOR_EVALUATION = ("test_file", "batch_size_test", "refcoco_data", "det_file", "coco_file")
"""Accepted without effect: they concern evaluation alone, which takes its files from the command line."""

SHAPE = {"image_res": "image_size", "vision_width": "vision_width", "embed_dim": "embed_dim"}

OPTIMIZER = {"lr": "lr", "weight_decay": "weight_decay"}
SCHEDULE = {"epochs": "epochs", "min_lr": "min_lr", "warmup_lr": "warmup_lr", "warmup_epochs": "warmup_epochs"}
FIXED = {
    "optimizer": {"opt": "adamW"}, "schedular": {"sched": "cosine", "decay_rate": 1, "cooldown_epochs": 0},
    "": {"eos": "[SEP]", "eval_ema": False},
}  # fmt: skip
"""Keys with but one value that this trainer, as every published configuration, knows."""

BERT = {
    "hidden_size": "text_width", "num_hidden_layers": "text_layers", "num_attention_heads": "text_heads",
    "fusion_layer": "fusion_layer", "max_position_embeddings": "max_positions",
}  # fmt: skip
BERT_FIXED = {"hidden_act": "gelu", "layer_norm_eps": 1e-12, "pad_token_id": 0, "type_vocab_size": 2}
BERT_IGNORED = ("architectures", "model_type", "attention_probs_dropout_prob", "vocab_size", "encoder_width")


AUGMENT = {"pretrain": "pretrain", "nlvr_pretrain": "pretrain", "grounding": "grounding"}
"""The pipelines of the official scripts, which their configurations do not name; every other task has "finetune"."""


def is_official(values: dict[str, Any]) -> bool:
    """Whether these are the keys of the official repository."""
    return any(key in values for key in MARKS)


def translate(task: str, values: dict[str, Any], file: Path) -> dict[str, Any]:
    """Official values under our keys. Keys of ours may stand beside them: vocabulary, accumulate, bfloat16, …"""
    left = dict(values)
    out: dict[str, Any] = {"schedule": "steps", "model": {}}
    _translate_part(left, out, "optimizer", OPTIMIZER, file)
    base = _translate_part(left, out, "schedular", SCHEDULE, file)
    if "lr" in base and base["lr"] != out.get("lr"):
        raise SettingsError(f"{file}: key 'schedular.lr': found {base['lr']!r}, expected the optimizer's {out.get('lr')!r}")
    _check_fixed(left, FIXED[""], "", file)
    for key in FOR_EVALUATION:
        left.pop(key, None)
    shape = _bert_shape(out, left.pop("bert_config", None), file)
    for key, ours in SHAPE.items():
        if key in left:
            shape[ours] = left.pop(key)
    roots = {name: left.pop(f"{name}_root") for name in ("vqa", "vg") if f"{name}_root" in left}
    if roots:
        out["image_roots"] = roots
    for key, ours in RENAMED.items():
        if key in left:
            if ours in out:
                raise SettingsError(f"{file}: key {key!r}: another key already says it")
            out[ours] = left.pop(key)
    if left.pop("distill", True) is False:
        out["alpha"] = 0.0
    for key, several in (("train_files", True), ("validation_file", False)):
        if key in out:
            out[key] = _files(out[key], several, f"{file}: key {'train_file' if several else 'val_file'!r}")
    out["augment"] = AUGMENT.get(task, "finetune")
    out["model"] = _whole_shape(task, shape) | left.pop("model", {})
    return out | left


def _translate_part(left: dict, out: dict, part: str, names: dict[str, str], file: Path) -> dict[str, Any]:
    """Moves ``part``'s keys to ``out``; gives what it held beyond them."""
    inner = left.pop(part, None)
    if not isinstance(inner, dict):
        raise SettingsError(f"{file}: key {part!r}: found {inner!r}, expected an object")
    inner = dict(inner)
    _check_fixed(inner, FIXED[part], f"{part}.", file)
    for key, ours in names.items():
        if key in inner:
            out[ours] = inner.pop(key)
    for key in inner:
        if (part, key) != ("schedular", "lr"):
            raise SettingsError(f"{file}: unknown key '{part}.{key}'")
    return inner


def _check_fixed(values: dict, fixed: dict[str, Any], prefix: str, file: Path) -> None:
    for key, expected in fixed.items():
        if key in values and (found := values.pop(key)) != expected:
            raise SettingsError(f"{file}: key '{prefix}{key}': found {found!r}, expected {expected!r}")


def _files(value: Any, several: bool, where: str) -> Any:
    """Training files are a list, a validation file is one; the official files write either both ways."""
    if several:
        return value if isinstance(value, list) else [value]
    if isinstance(value, list):
        if len(value) != 1:
            raise SettingsError(f"{where}: found {len(value)} files, expected one")
        return value[0]
    return value


def _bert_shape(out: dict[str, Any], name: Any, file: Path) -> dict[str, Any]:
    """The text encoder's shape from its configuration: relative to the working folder or beside ``file``."""
    if name is None:
        return {}
    places = [Path(str(name)), file.parent / str(name), file.parent / Path(str(name)).name]
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise SettingsError(f"{file}: key 'bert_config': {name} is neither here nor beside the configuration")
    values = read_values(found)
    _check_fixed(values, BERT_FIXED, "", found)
    shape = {ours: values.pop(key) for key, ours in BERT.items() if key in values}
    if "intermediate_size" in values and values.pop("intermediate_size") != 4 * shape.get("text_width", 768):
        raise SettingsError(f"{found}: key 'intermediate_size': expected four times hidden_size")
    for key, ours in (("hidden_dropout_prob", "dropout"), ("initializer_range", "initializer_range")):
        if key in values:
            out[ours] = values.pop(key)
    if unknown := [key for key in values if key not in BERT_IGNORED]:
        raise SettingsError(f"{found}: unknown key {unknown[0]!r}")
    return shape


def _whole_shape(task: str, shape: dict[str, Any]) -> dict[str, Any]:
    """Adds what the official code derives: layers of the decoder, doubled fusing layers for two pictures."""
    layers, fusion = shape.get("text_layers", 12), shape.get("fusion_layer", 6)
    derived = {"decoder_layers": layers - fusion, "gradcam_layer": min(fusion + 2, layers - 1)}
    if task in ("nlvr", "nlvr_pretrain"):
        derived["text_layers"] = layers + (layers - fusion)
    return shape | derived

