"""What each part of pre-training is worth: ``python -m albef.ablation --output FOLDER``.

Pre-trains variants of one configuration from the same start, with the same seed and number of steps, and measures each
without fine-tuning: recall at 1 both ways, with and without the matching head, and whether the heatmap's peak lies in the
named object. Every run is a ``python -m albef.train`` of its own; a finished run is not repeated, a stopped one goes on.
Writes ``FOLDER/results.json`` and a table, which ``--document`` puts into a markdown file between two comments.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import torch

from albef.data import cache_folder, read_json
from albef.evaluation.grounding import evaluate_grounding
from albef.evaluation.retrieval import evaluate_retrieval
from albef.loading import load_model
from albef.metrics import sha256_of, table
from albef.tables import TableError, replace_between
from albef.train.settings_file import SettingsError, read_values

CONFIG = Path(__file__).resolve().parents[1] / "configs" / "small_pretrain.json"
NOISY = {"train_files": ["pretrain_noisy.json"]}


@dataclass(frozen=True)
class Variant:
    """One run: what it is called in the table, and what differs in the configuration."""

    name: str
    label: str
    changes: dict


VARIANTS = (
    Variant("full", "all three losses", {}),
    Variant("uniform_negatives", "matching negatives drawn uniformly", {"easy_negatives": 1.0}),
    Variant("no_mlm", "without masked words", {"losses": ["ita", "itm"]}),
    Variant("noisy", "noisy captions", NOISY),
    Variant("noisy_distilled", "noisy captions, momentum distillation 0.4", NOISY | {"alpha": 0.4}),
)
# What the table shows, with the columns' names.
COLUMNS = {
    "txt_r1": "R@1 image to text", "img_r1": "R@1 text to image", "itc_txt_r1": "image to text, similarity alone",
    "itc_img_r1": "text to image, similarity alone", "peak": "heatmap peak in box",
}  # fmt: skip
HEADER = """# Ablation of pre-training

What the parts of ALBEF's pre-training are worth in the small world, measured without fine-tuning on the test split. Written by
`python -m albef.ablation --document docs/ablation.md` in `tools/`, which trains and measures every row again.

"""


class AblationError(RuntimeError):
    """A run that failed or an option that does not fit; one line."""


def configuration(base: dict, variant: Variant) -> dict:
    """The variant's configuration: ``base`` without distillation and validation, but for what it changes.

    There is no ramp of ``alpha``: a run is shorter than an epoch, and would hardly reach what is to be measured.
    """
    return base | {"alpha": 0.0, "alpha_ramp": False, "validation_file": None} | variant.changes


def description(options: argparse.Namespace, settings: dict, steps: int) -> dict:
    """Everything that a result depends on: where it is equal, the run need not be repeated."""
    world = [*settings["train_files"], *(f"{name}_{options.split}.json" for name in ("retrieval", "grounding"))]
    return {
        "settings": settings, "steps": steps, "seed": options.seed, "split": options.split, "k_test": options.k_test,
        "init_sha256": sha256_of(options.init) if options.init else None,
        "data_sha256": {name: sha256_of(options.data / name) for name in world},
    }  # fmt: skip


def train(options: argparse.Namespace, folder: Path, settings: dict, *length: object) -> None:
    """One run of the trainer in ``folder``; goes on where an interrupted one stopped."""
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "config.json"
    config.write_text(json.dumps(settings, indent=1) + "\n")
    command = [
        sys.executable, "-m", "albef.train", "--task", "pretrain", "--config", config, "--data", options.data,
        "--output", folder, "--seed", options.seed, "--threads", options.threads, "--device", options.device, "--resume",
        "--validate-every", 1e9, "--save-every", 60, "--no-tensorboard", *length,
    ]  # fmt: skip
    if options.init:
        command += ["--init", options.init]
    # Progress goes to standard error: standard output is for the table.
    result = subprocess.run([*map(str, command)], stdout=2, cwd=Path(__file__).resolve().parents[1], check=False)
    if result.returncode:
        raise AblationError(f"{folder}: the trainer ended with exit code {result.returncode}")


def last_line(folder: Path) -> dict:
    """The log's line about the run's end."""
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return next(line for line in reversed(lines) if "finished" in line)


def steps_of(options: argparse.Namespace, base: dict) -> int:
    """The steps of every run: as given, or as many as the full variant makes in the given minutes.

    Half a minute tells; what it found is kept, so that a later call continues the same runs.
    """
    if options.minutes_each is None:
        return options.steps
    plan = options.output / "plan.json"
    if plan.exists():
        known = json.loads(plan.read_text())
        if known["minutes_each"] == options.minutes_each:
            return known["steps"]
    folder = options.output / "pace"
    train(options, folder, configuration(base, VARIANTS[0]), "--minutes", 0.5)
    steps = max(1, round(last_line(folder)["finished"] / 0.5 * options.minutes_each))
    plan.write_text(json.dumps({"minutes_each": options.minutes_each, "steps": steps}) + "\n")
    return steps


def measure(options: argparse.Namespace, checkpoint: Path) -> dict[str, float]:
    """Percent of everything in ``COLUMNS``."""
    torch.set_num_threads(options.threads)
    loaded = load_model(checkpoint)
    retrieval = evaluate_retrieval(
        loaded.model, loaded.tokenizer, str(options.data), f"retrieval_{options.split}.json", k_test=options.k_test
    )
    grounding = evaluate_grounding(loaded.model, loaded.tokenizer, options.data, f"grounding_{options.split}.json")
    return {name: (retrieval | grounding)[name] for name in COLUMNS}


def run_variant(options: argparse.Namespace, variant: Variant, base: dict, steps: int) -> dict:
    """The variant's result, from its folder if it is there."""
    folder, settings = options.output / variant.name, configuration(base, variant)
    result, wanted = folder / "result.json", description(options, settings, steps)
    if result.exists():
        known = json.loads(result.read_text())
        if known["run"] == wanted:
            print(f"{variant.name}: finished before", file=sys.stderr)
            return known
        raise AblationError(f"{folder} holds a run with other settings: remove it or give another --output")
    print(f"{variant.name}: {steps} steps", file=sys.stderr, flush=True)
    train(options, folder, settings, "--steps", steps)
    end = last_line(folder)
    known = {
        "name": variant.name, "label": variant.label, "run": wanted, "minutes": end.get("minutes"),
        "metrics": measure(options, folder / "model.safetensors"),
    }  # fmt: skip
    result.write_text(json.dumps(known, indent=1) + "\n")
    return known


def ablation_table(results: list[dict]) -> str:
    """A row for each run."""
    rows = []
    for each in results:
        figures = [f"{each['metrics'][name]:.1f}" for name in COLUMNS]
        minutes = "" if each["minutes"] is None else f"{each['minutes']:.1f}"
        rows.append([each["label"], *figures, minutes])
    return table(["pre-training", *COLUMNS.values(), "minutes"], rows)


def summary(results: list[dict], cases: dict[str, int]) -> str:
    """The table with a line about how it was made."""
    run = results[0]["run"]
    measured = ", ".join(f"{count:,} {name}" for name, count in cases.items())
    easy = run["settings"].get("easy_negatives", 0.0)
    hard = "by similarity" if easy == 0 else f"by similarity in {100 * (1 - easy):.0f} % of the draws"
    text = (
        f"{run['steps']:,} steps of {run['settings']['batch_size']} pictures each, seed {run['seed']}, from one start. "
        f"Percent of the {run['split']} split ({measured}); R@1 with {run['k_test']} candidates re-ranked. Where a row does "
        f"not say otherwise, matching negatives are drawn {hard}."
    )
    return f"{text}\n\n{ablation_table(results)}"


def write_document(path: Path, content: str) -> None:
    """Puts the table into a markdown file, which is made if it is not there."""
    text = path.read_text(encoding="utf-8") if path.exists() else HEADER + "<!-- ablation -->\n<!-- /ablation -->\n"
    path.write_text(replace_between(text, "ablation", content, path), encoding="utf-8")


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m albef.ablation", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, required=True, help="folder for the runs and results.json")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--steps", type=int, default=300, help="of every run (%(default)s)")
    length.add_argument("--minutes-each", type=float, help="as many steps as the full variant makes in this time")
    parser.add_argument("--config", type=Path, default=CONFIG, help="what the variants change (%(default)s)")
    parser.add_argument("--init", type=Path, help="start weights of every run, such as those of albef.world.vision")
    parser.add_argument("--data", type=Path, default=cache_folder() / "world", help="dataset folder (%(default)s)")
    parser.add_argument("--split", choices=("val", "test"), default="test")
    parser.add_argument("--k-test", type=int, default=32, help="candidates to re-rank (%(default)s)")
    names = [variant.name for variant in VARIANTS]
    parser.add_argument("--only", choices=names, action="append", help="repeatable; default: every variant")
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="cpu", help="where to train (%(default)s)")
    parser.add_argument("--document", type=Path, help="markdown file for the table, such as docs/ablation.md")
    options = parser.parse_args(arguments)
    for name in ("output", "config", "init", "data", "document"):
        if getattr(options, name):
            setattr(options, name, getattr(options, name).resolve())
    return options


def ablate(options: argparse.Namespace) -> str:
    """Runs what is not there yet; the summary."""
    base = read_values(options.config)
    chosen = [variant for variant in VARIANTS if options.only is None or variant.name in options.only]
    for variant in chosen:
        for name in configuration(base, variant)["train_files"]:
            if not (options.data / name).exists():
                raise AblationError(f"{options.data / name}: no such file; make the world with 'python -m albef.world'")
    options.output.mkdir(parents=True, exist_ok=True)
    steps = steps_of(options, base)
    results = [run_variant(options, variant, base, steps) for variant in chosen]
    (options.output / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    names = {"captions": "retrieval", "expressions": "grounding"}
    content = summary(results, {
        what: len(read_json(options.data / f"{name}_{options.split}.json")) for what, name in names.items()
    })  # fmt: skip
    if options.document:
        write_document(options.document, content)
    return content


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    try:
        print(ablate(options))
    except (AblationError, SettingsError, TableError, ValueError, OSError) as error:
        print(f"albef.ablation: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
