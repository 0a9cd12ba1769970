"""Trains one model: ``python -m albef.train --task pretrain --config tools/configs/small_pretrain.json --output FOLDER``."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import torch

from albef.checkpoint import save_checkpoint
from albef.data import cache_folder
from albef.optim import build_optimizer, ramped_alpha, smooth_rate
from albef.train.initial import initialize
from albef.train.tasks import TASKS, Task, build_task


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m albef.train", description=__doc__)
    parser.add_argument("--task", choices=sorted(TASKS), required=True)
    parser.add_argument("--config", type=Path, required=True, help="shape and hyper-parameters (JSON)")
    parser.add_argument("--data", type=Path, default=cache_folder() / "world", help="dataset folder (%(default)s)")
    parser.add_argument("--output", type=Path, required=True, help="folder for checkpoints and the log")
    parser.add_argument("--init", type=Path, help="start weights: a checkpoint of this or of an earlier task")
    parser.add_argument("--deit", type=Path, help="DeiT weights (.pth) for the image encoder, before --init")
    parser.add_argument("--bert", type=Path, help="BERT weights (.bin, .pth, .safetensors) for the texts, before --init")
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, help="length of the run in steps; default: epochs of the configuration")
    parser.add_argument("--minutes", type=float, help="length of the run in minutes instead: rates follow the clock")
    parser.add_argument("--report-every", type=float, default=10.0, help="seconds between progress lines")
    parser.add_argument("--validate-every", type=float, default=240.0, help="seconds between validations")
    return parser.parse_args()


class Run:
    """The loop: optimiser, rates, progress lines, validation, checkpoints."""

    def __init__(self, options: argparse.Namespace, task: Task) -> None:
        self.options, self.task, self.settings = options, task, task.settings
        self.optimizer = build_optimizer(task.model, self.settings["lr"], self.settings["weight_decay"])
        self.steps = options.steps or self.settings["epochs"] * len(task.batches)
        self.step, self.samples, self.begun = 0, 0, time.monotonic()
        self.sums: dict[str, float] = {}
        self.since = 0
        options.output.mkdir(parents=True, exist_ok=True)
        self.log = (options.output / "log.jsonl").open("a")

    @property
    def progress(self) -> float:
        if self.options.minutes:
            return min(1.0, (time.monotonic() - self.begun) / (60 * self.options.minutes))
        return self.step / self.steps

    def train(self) -> None:
        task, settings = self.task, self.settings
        reported = validated = time.monotonic()
        task.model.train()
        epoch = 0
        while True:
            for number, batch in enumerate(task.batches.epoch()):
                if self.progress >= 1:
                    self.finish()
                    return
                alpha = ramped_alpha(settings.get("alpha", 0.0), epoch, number, len(task.batches))
                self.update(batch, alpha)
                now = time.monotonic()
                if now - reported >= self.options.report_every:
                    self.report(epoch)
                    reported = now
                if now - validated >= self.options.validate_every:
                    self.save()
                    self.write({"validation": task.validate(), "step": self.step, "minutes": (now - self.begun) / 60})
                    validated = reported = time.monotonic()
            epoch += 1

    def update(self, batch: tuple, alpha: float) -> None:
        settings = self.settings
        rate = smooth_rate(self.progress, lr=settings["lr"], min_lr=settings["min_lr"], warmup=settings["warmup"])
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        with torch.autocast("cpu", torch.bfloat16, enabled=settings.get("bfloat16", False)):
            losses = self.task.losses(batch, alpha)
        loss = sum(losses.values())
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if settings.get("clip"):
            torch.nn.utils.clip_grad_norm_(self.task.model.parameters(), settings["clip"], foreach=True)
        self.optimizer.step()
        for name, value in losses.items():
            self.sums[name] = self.sums.get(name, 0.0) + value.item()
        self.step += 1
        self.since += 1
        self.samples += len(batch[1])

    def report(self, epoch: int) -> None:
        elapsed = time.monotonic() - self.begun
        left = elapsed * (1 - self.progress) / max(self.progress, 1e-6)
        losses = {name: round(value / self.since, 4) for name, value in self.sums.items()}
        self.write({
            "step": self.step, "epoch": epoch, "rate": round(self.samples / elapsed, 1), "left": f"{left / 60:.1f} min",
            "lr": f"{self.optimizer.param_groups[0]['lr']:.2e}", **losses,
        })  # fmt: skip
        self.sums, self.since = {}, 0

    def write(self, values: dict) -> None:
        line = json.dumps(values)
        print(line, flush=True)
        self.log.write(line + "\n")
        self.log.flush()

    def save(self) -> None:
        task = self.task
        path = self.options.output / "model.safetensors"
        save_checkpoint(path, task.model, task.name, task.tokenizer.vocabulary, task.answers)

    def finish(self) -> None:
        self.save()
        minutes = (time.monotonic() - self.begun) / 60
        self.write(
            {"finished": self.step, "samples": self.samples, "minutes": minutes, "validation": self.task.validate()}
        )


def main() -> None:
    options = parse()
    torch.set_num_threads(options.threads)
    torch.set_flush_denormal(True)
    task = build_task(options.task, options.config, options.data, options.seed)
    run = Run(options, task)
    parameters = sum(p.numel() for p in task.model.parameters() if p.requires_grad)
    run.write({"task": task.name, "parameters": parameters, "batches": len(task.batches), "seed": options.seed})
    for report in initialize(task, deit=options.deit, bert=options.bert, init=options.init):
        run.write({"init": report.source, "report": report.text().splitlines()[1:]})
    run.train()


if __name__ == "__main__":
    main()
