"""Trains one model: ``python -m albef.train --task pretrain --config tools/configs/small_pretrain.json --output FOLDER``.

``torchrun --nproc-per-node N -m albef.train …`` trains with N processes, which compute what one does with N times the
``accumulate``. ``--resume`` goes on with a run that was stopped or killed.
"""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

import torch

from albef.data import DatasetError, cache_folder
from albef.prefetch import Prefetched
from albef.processes import Processes, join_processes
from albef.train.initial import initialize
from albef.train.loop import Length, Pace, Run, TrainingError
from albef.train.progress import Progress, load_tensorboard
from albef.train.settings_file import SettingsError
from albef.train.state import StateError, read_position
from albef.train.tasks import TASKS, build_task


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m albef.train", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--task", choices=sorted(TASKS), required=True)
    parser.add_argument("--config", type=Path, required=True, help="settings: ours (JSON or YAML) or official YAML")
    parser.add_argument("--data", type=Path, default=cache_folder() / "world", help="dataset folder (%(default)s)")
    parser.add_argument("--output", type=Path, required=True, help="folder for checkpoints, state and log")
    parser.add_argument("--init", type=Path, help="start weights: a checkpoint of this or of an earlier task")
    parser.add_argument("--deit", type=Path, help="DeiT weights (.pth) for the image encoder, before --init")
    parser.add_argument("--bert", type=Path, help="BERT weights (.bin, .pth, .safetensors) for the texts, before --init")
    parser.add_argument("--resume", action="store_true", help="go on where the state in the output folder is, if there is one")
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--threads", type=int, default=2, help="of each process (%(default)s)")
    parser.add_argument("--workers", type=int, default=0, help="processes that load and augment batches ahead (%(default)s)")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--steps", type=int, help="length of the run in steps; default: epochs of the configuration")
    length.add_argument("--minutes", type=float, help="length in minutes: rates follow the clock, so no two runs are equal")
    parser.add_argument("--report-every", type=float, default=10.0, help="seconds between progress lines (%(default)s)")
    parser.add_argument("--validate-every", type=float, default=240.0, help="seconds between validations (%(default)s)")
    parser.add_argument("--save-every", type=float, default=300.0, help="seconds between states (%(default)s)")
    parser.add_argument("--save-steps", type=int, help="steps between states, instead")
    parser.add_argument(
        "--tensorboard", action=argparse.BooleanOptionalAction, default=None, help="default: if the package is installed"
    )
    options = parser.parse_args(arguments)
    for name in ("steps", "minutes", "save_steps"):
        if (value := getattr(options, name)) is not None and value <= 0:
            parser.error(f"--{name.replace('_', '-')} must be greater than 0")
    if options.workers < 0:
        parser.error("--workers must be at least 0")
    return options


def build_run(options: argparse.Namespace, processes: Processes) -> Run:
    """The task with its data, ready to train."""
    with processes.first_goes_ahead():
        task = build_task(options.task, options.config, options.data, options.seed)
    if options.workers:
        ours, rank = task.settings.accumulate, processes.rank
        task.batches = Prefetched(task.batches, options.workers, rank * ours, ours, ours * processes.size)
    writer = None
    if processes.first and options.tensorboard is not False:
        writer = load_tensorboard()
        if writer is None and options.tensorboard:
            raise TrainingError("--tensorboard needs the package tensorboard (pip install tensorboard)")
    pace = Pace(options.report_every, options.validate_every, options.save_every, options.save_steps)
    return Run(task, processes, options.output, options.seed, Length(options.steps, options.minutes), pace, writer)


def train(options: argparse.Namespace, processes: Processes) -> int:
    """The exit code: 0, or 128 and the signal's number after a stop."""
    run = build_run(options, processes)
    if not options.resume and run.state_file.exists() and not read_position(run.state_file).finished:
        raise StateError(f"{run.state_file}: a run stopped here: add --resume to go on, or remove the file to begin anew")
    resumed = options.resume and run.resume()
    if resumed and run.position.finished:
        print(f"{run.state_file}: this run is finished")
        return 0

    def begin(progress: Progress) -> None:
        if resumed:
            progress.write({"resumed": run.position.step, "epoch": run.position.epoch})
            return
        parameters = sum(p.numel() for p in run.model.parameters() if p.requires_grad)
        progress.write({
            "task": run.task.name, "parameters": parameters, "batches": len(run.task.batches), "seed": options.seed,
            "processes": processes.size, "accumulate": run.settings.accumulate,
        })  # fmt: skip
        try:
            reports = initialize(run.task, deit=options.deit, bert=options.bert, init=options.init)
        except ValueError as error:
            raise TrainingError(str(error)) from error
        for report in reports:
            progress.write({"init": report.source, "report": report.text().splitlines()[1:]})

    return 0 if run.train(begin) else 128 + (run.signal or signal.SIGTERM)


def main(arguments: list[str] | None = None) -> int:
    """Trains; an expected error is one line on standard error."""
    options = parse(arguments)
    torch.set_num_threads(options.threads)
    torch.set_flush_denormal(True)
    processes = join_processes(options.device)
    try:
        return train(options, processes)
    except (OSError, DatasetError, SettingsError, StateError, TrainingError) as error:
        print(f"albef.train: {error}", file=sys.stderr)
        return 1
    finally:
        processes.close()


if __name__ == "__main__":
    sys.exit(main())
