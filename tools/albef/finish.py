"""From a fine-tuned checkpoint to a measured model, in one command.

``python -m albef.finish --checkpoint run/model.safetensors --output run`` exports it in int8 and float32, writes golden
fixtures, records and verifies them, evaluates both precisions through the runtime on the world's test files, writes
``metrics.json`` and prints the figures side by side. Exit code 1 if a bound of the fixtures is broken.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from pathlib import Path

import torch
from safetensors import SafetensorError

from albef.checkpoint import read_checkpoint
from albef.data import cache_folder, read_json
from albef.evaluation.grounding import evaluate_grounding
from albef.evaluation.retrieval import evaluate_retrieval
from albef.evaluation.sentences import evaluate_sentences
from albef.evaluation.vqa import evaluate_vqa
from albef.golden import write_golden
from albef.loading import Loaded, infer_task, load_model
from albef.metrics import PRECISIONS, PYTORCH, Measurement, describe, label, measurement_name, write_metrics
from albef.runtime import ROOT, CommandError, Runtime

FIXTURES = ROOT / "fixtures" / "golden"
_CAPTIONED = ("retrieval", "grounding", "grounding_places")
# The annotation files of each task; those of grounding by place are not in every world.
FILES = {
    "pretrain": _CAPTIONED, "retrieval": _CAPTIONED, "grounding": ("grounding", "grounding_places", "retrieval"),
    "vqa": ("vqa",), "entailment": ("entailment",), "nlvr": ("nlvr",),
}  # fmt: skip
# The heatmaps of grounding; the first is the default and gives its measurement no ending.
MODES = ("itm", "itc")


def make_golden(checkpoint: Path, folder: Path, pictures: Path, cases: int | None = None) -> int:
    """Writes golden fixtures into ``folder``; brings the described pictures beside it where they are not yet there."""
    if not (folder.parent / "pictures.json").exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        for entry in read_json(pictures / "pictures.json"):
            target = folder.parent / entry["image"]
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(pictures / entry["image"], target)
        shutil.copyfile(pictures / "pictures.json", folder.parent / "pictures.json")
    # Digests of an earlier checkpoint belong to its fixtures.
    (folder / "exact.json").unlink(missing_ok=True)
    return write_golden(checkpoint, folder, cases)


def annotation_files(task: str, data: Path, split: str) -> list[Path]:
    """The task's files that the data folder has, with a note on those that it lacks; an error if it has none."""
    names = FILES.get(task)
    if names is None:
        raise CommandError(f"a model of task '{task}' answers nothing that can be measured")
    files = [data / f"{name}_{split}.json" for name in names]
    found = [file for file in files if file.exists()]
    for file in files:
        if found and file not in found:
            print(f"{file}: not there, not measured")
    if not found:
        raise CommandError(f"{files[0]}: no such file; make the world with 'python -m albef.world' or give --annotations")
    return found


def first_record(file: Path) -> dict:
    """The first record of an annotation file, which tells what it asks for."""
    try:
        records = read_json(file)
    except ValueError as error:
        raise CommandError(f"{file}: {error}") from error
    if not (isinstance(records, list) and records and isinstance(records[0], dict)):
        raise CommandError(f"{file}: not a list of records")
    return records[0]


def measure(runtime: Runtime, models: dict[str, Path], file: Path, data: Path) -> list[Measurement]:
    """One annotation file in every precision and, for grounding, in every mode that the runtime has."""
    name = measurement_name(str(file))
    boxes = data / "detections.json"
    runs: list[tuple[str, list[object]]] = [(name, [])]
    if "bbox" in first_record(file):
        proposals = ["--boxes", boxes] if boxes.exists() else []
        runs = [(name, proposals)]
        if runtime.has_option("evaluate", "--mode"):
            default, *others = MODES
            runs = [(name, [*proposals, "--mode", default])]
            runs += [(f"{name}_{mode}", [*proposals, "--mode", mode]) for mode in others]
    out = []
    for called, options in runs:
        answers = {precision: runtime.evaluate(model, file, data, *options) for precision, model in models.items()}
        metrics = {
            metric: {precision: answer["metrics"][metric] for precision, answer in answers.items()}
            for metric in answers[PRECISIONS[0]]["metrics"]
        }
        out.append(Measurement(called, file.name, answers[PRECISIONS[0]]["cases"], metrics))
    return out


def pytorch_figures(loaded: Loaded, file: Path, data: Path, mode: str = MODES[0]) -> dict[str, float]:
    """The same metrics from the reference, under the runtime's names; ``mode`` is that of heatmaps."""
    relative, record = os.path.relpath(file, data), first_record(file)
    if "bbox" in record:
        options = {} if mode == MODES[0] else {"mode": mode}
        found = evaluate_grounding(loaded.model, loaded.tokenizer, data, relative, **options)
        return {"peak_in_box": found["peak"], "box_accuracy": found["box"]}
    if "question" in record:
        answers = loaded.answers or read_json(data / "answer_list.json")
        return evaluate_vqa(loaded.model, loaded.tokenizer, answers, str(data), relative)
    if "sentence" in record:
        return evaluate_sentences(loaded.model, loaded.tokenizer, data, relative)
    return evaluate_retrieval(loaded.model, loaded.tokenizer, str(data), relative)


def add_pytorch(measurements: list[Measurement], loaded: Loaded, files: list[Path], data: Path) -> None:
    """Puts the reference's figures beside those that it has too."""
    by_name = {file.name: file for file in files}
    for each in measurements:
        mode = next((mode for mode in MODES[1:] if each.name.endswith(f"_{mode}")), MODES[0])
        for metric, value in pytorch_figures(loaded, by_name[each.annotations], data, mode).items():
            if metric in each.metrics:
                each.metrics[metric][PYTORCH] = value


def print_table(measurements: list[Measurement]) -> None:
    """Figures side by side; the last column tells what int8 cost, in points."""
    every = [figures for each in measurements for figures in each.metrics.values()]
    columns = [name for name in (PYTORCH, *PRECISIONS) if any(name in figures for figures in every)]
    print(f"{'':<52}{'cases':>8}" + "".join(f"{name:>10}" for name in columns) + f"{'int8 cost':>12}")
    for each in measurements:
        for metric, figures in each.metrics.items():
            cells = "".join(f"{figures[name]:>10.2f}" if name in figures else f"{'':>10}" for name in columns)
            print(f"{label(each.name, metric):<52}{each.cases:>8}{cells}{figures['float32'] - figures['int8']:>12.2f}")


def verify(runtime: Runtime, models: dict[str, Path], fixtures: Path) -> bool:
    """Records exact bytes with the scalar kernels, then verifies with this machine's: whether all bounds and bytes hold."""
    passed = True
    for precision, model in models.items():
        for record in (True, False):
            result = runtime.verify(model, fixtures, record=record)
            broken = [stage for stage in result["stages"] if not stage["passed"]]
            for stage in broken:
                print(f"{precision}: {stage['stage']}, {stage['measure']}: {stage['worst']}, limit {stage['limit']}")
            how = "recorded" if record else "verified"
            print(f"{precision}: golden fixtures {how}, {'passed' if result['passed'] else 'FAILED'}", flush=True)
            passed = passed and result["passed"]
    return passed


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m albef.finish", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checkpoint", type=Path, required=True, help="model.safetensors as the trainer writes it")
    parser.add_argument("--output", type=Path, required=True, help="folder for TASK-int8.albef, TASK-float32.albef, metrics.json")
    parser.add_argument("--data", type=Path, default=cache_folder() / "world", help="dataset folder (%(default)s)")
    parser.add_argument("--split", choices=("val", "test"), default="test")
    parser.add_argument("--annotations", type=Path, action="append", help="repeatable; default: the task's files of the split")
    parser.add_argument("--golden", type=Path, help="folder for the fixtures (default: OUTPUT/golden/TASK)")
    parser.add_argument("--pictures", type=Path, default=FIXTURES, help="folder with pictures.json for them (%(default)s)")
    parser.add_argument("--cases", type=int, help="golden cases; default: as many as the shipped fixtures have")
    parser.add_argument("--binaries", type=Path, help="default: $ALBEF_BINARIES, this checkout's release build, the PATH")
    parser.add_argument("--pytorch", action="store_true", help="evaluate the reference too: minutes")
    parser.add_argument("--threads", type=int, help="of the runtime and of PyTorch")
    return parser.parse_args(arguments)


def finish(options: argparse.Namespace) -> bool:
    """Whether the fixtures' bounds hold."""
    runtime = Runtime(options.binaries, options.threads)
    if options.checkpoint.suffix != ".safetensors":
        raise CommandError(f"{options.checkpoint}: needs a .safetensors file, which says its shape and vocabulary")
    try:
        content = read_checkpoint(options.checkpoint)
    except SafetensorError as error:
        raise CommandError(f"{options.checkpoint}: {error}") from error
    task = content.task or infer_task(content.tensors)
    files = options.annotations or annotation_files(task, options.data, options.split)
    for file in files:
        first_record(file)
    options.output.mkdir(parents=True, exist_ok=True)
    models = {precision: options.output / f"{task}-{precision}.albef" for precision in PRECISIONS}
    for precision, model in models.items():
        runtime.export(options.checkpoint, model, precision)
        print(f"{model}: {model.stat().st_size:,} bytes", flush=True)

    golden = options.golden or options.output / "golden" / task
    count = make_golden(options.checkpoint, golden, options.pictures, options.cases)
    print(f"{golden}: {count} cases", flush=True)
    passed = verify(runtime, models, golden)

    measurements = []
    for file in files:
        begun = time.monotonic()
        measurements += measure(runtime, models, file, options.data)
        print(f"{file}: {time.monotonic() - begun:.0f} s", flush=True)
    if options.pytorch:
        torch.use_deterministic_algorithms(False)
        torch.set_num_threads(options.threads or torch.get_num_threads())
        add_pytorch(measurements, load_model(options.checkpoint), files, options.data)
    write_metrics(options.output / "metrics.json", describe(options.checkpoint, task, measurements))
    print_table(measurements)
    return passed


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    try:
        return 0 if finish(options) else 1
    except (CommandError, ValueError, OSError) as error:
        print(f"albef.finish: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
