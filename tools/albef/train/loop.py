"""The training loop: steps of several micro-batches, rates, reports, validation, states to resume from.

Everything random is drawn from (seed, step, micro-batch) and the data's order from (seed, epoch). A run of a given
number of steps is therefore repeatable, whenever it is killed and resumed, to the bit with one thread, and processes
compute what one process computes with as many accumulated micro-batches.
"""

from __future__ import annotations

import hashlib
import json
import math
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from albef.checkpoint import save_checkpoint
from albef.data import SampleError
from albef.model.contrastive import Momentum
from albef.model.recompute import recompute_blocks
from albef.optim import build_optimizer, ramped_alpha, smooth_rate, step_rate
from albef.processes import Processes
from albef.train.heatmaps import draw_heatmaps
from albef.train.progress import Progress, duration
from albef.train.state import NAME, Position, StateError, read_position, read_state, write_state
from albef.train.tasks import Task


class TrainingError(RuntimeError):
    """Why a run cannot go on; one line."""


@dataclass(frozen=True)
class Length:
    """How long a run is: the configuration's epochs, a number of steps, or minutes by the clock."""

    steps: int | None = None
    minutes: float | None = None


@dataclass(frozen=True)
class Pace:
    """How often things happen, in seconds of the clock; ``save_steps`` is a number of steps."""

    report: float = 10.0
    validate: float = 240.0
    save: float = 300.0
    save_steps: int | None = None


def seed_everything(*numbers: int) -> None:
    """Seeds torch, NumPy and Python from a run's seed, a step and a micro-batch."""
    digest = hashlib.sha256(" ".join(map(str, numbers)).encode()).digest()
    torch.manual_seed(int.from_bytes(digest[:7], "big"))
    np.random.seed(int.from_bytes(digest[8:12], "big"))
    random.seed(digest)


class Run:
    """A task in training, in ``folder``."""

    def __init__(
        self, task: Task, processes: Processes, folder: Path, seed: int, length: Length = Length(), pace: Pace = Pace(),
        writer: Any | None = None,
    ) -> None:  # fmt: skip
        self.task, self.settings, self.model = task, task.settings, task.model
        self.processes, self.folder, self.seed, self.length, self.pace = processes, folder, seed, length, pace
        self.writer = writer
        self.micro_batches = self.settings.accumulate * processes.size
        self.steps_in_epoch = 0  # of the epoch that is running
        self._check()
        self.model.to(processes.device)
        if isinstance(self.model, Momentum):
            self.model.momentum = self.settings.momentum
        recompute_blocks(self.model, self.settings.gradient_checkpointing)
        self.optimizer = build_optimizer(self.model, self.settings.lr, self.settings.weight_decay)
        self.position = Position(self._fixed())
        self.sums: dict[str, float] = {}
        self.signal: int | None = None

    def _check(self) -> None:
        size = self.settings.batch_size * self.micro_batches
        if len(self.task.batches) < self.micro_batches:
            raise TrainingError(f"{len(self.task.batches.items)} training items do not fill a step of {size}")
        queue = getattr(self.settings, "queue_size", None)
        if queue is not None and queue % size:
            each = f"batch_size {self.settings.batch_size} x accumulate {self.settings.accumulate}"
            raise TrainingError(
                f"queue_size {queue} is not a multiple of the {size} samples of a step ({each} x {self.processes.size} processes)"
            )

    def _fixed(self) -> dict[str, Any]:
        """What a resumed run must share with the killed one. Processes and ``accumulate`` may change, their product not."""
        files = [self.task.root / name for name in self.settings.train_files]
        return {
            "task": self.task.name,
            "settings": {key: value for key, value in self.settings.to_dict().items() if key != "accumulate"},
            "seed": self.seed,
            "micro_batches": self.micro_batches,
            "steps": self.length.steps,
            "minutes": self.length.minutes,
            "data": {str(file.name): hashlib.sha256(file.read_bytes()).hexdigest()[:16] for file in files},
        }

    @property
    def state_file(self) -> Path:
        return self.folder / NAME

    def resume(self) -> bool:
        """Goes on where the folder's state is; False if there is none."""
        if not self.state_file.exists():
            return False
        found = read_position(self.state_file)
        expected = self.position.run
        for key in expected:
            if found.run.get(key) != expected[key]:
                pairs = _differences(found.run.get(key), expected[key], key)
                raise StateError(f"{self.state_file}: made with {pairs}; resume with the same, or begin anew in another folder")
        read_state(self.state_file, self.model, self.optimizer)
        self.position = found
        return True

    @property
    def done(self) -> float:
        """Share of the run, 0 to 1, by steps; 0 where the clock counts."""
        if self.length.minutes is not None:
            return 0.0
        if self.length.steps is not None:
            return self.position.step / self.length.steps
        return (self.position.epoch + self.position.batch / self.steps_in_epoch) / self.settings.epochs

    def clock(self) -> float:
        """Share of the run by the first process's clock, 0 where steps count."""
        if self.length.minutes is None or not self.processes.first:
            return 0.0
        return min(1.0, self.elapsed() / (60 * self.length.minutes))

    def elapsed(self) -> float:
        """Seconds of training, earlier parts of the run included."""
        return self.position.seconds + time.monotonic() - self.begun

    def train(self, log: Callable[[Progress], None] | None = None) -> bool:
        """Runs to the end: True; or to a signal: False, with the state saved."""
        self.begun = time.monotonic()
        self.samples_before = self.position.samples
        self.progress = Progress(
            self.folder, silent=not self.processes.first, writer=self.writer, log_bytes=self.position.log_bytes,
            step=self.position.step,
        )  # fmt: skip
        if log is not None:
            log(self.progress)
        self.last = dict.fromkeys(("report", "validate", "save"), self.begun)
        self.model.train()
        try:
            with self._signals():
                return self._train()
        finally:
            self.progress.close()

    def _train(self) -> bool:
        position = self.position
        plan = self._plan()
        share, stop = max(self.done, self.processes.sum([self.clock()])[0]), False
        while share < 1 and not stop:
            if position.batch == self.steps_in_epoch:
                position.epoch, position.batch = position.epoch + 1, 0
                plan = self._plan()
            share, stop = self._step(plan, share)
        if stop and share < 1:
            self.save_model()
            self.save_state()
            self.progress.write({"stopped": position.step, "epoch": position.epoch})
            self.processes.wait()
            return False
        self._finish()
        return True

    def _plan(self) -> list[list[int]]:
        """The micro-batches of the epoch; what does not fill a step is left out."""
        plan = self.task.batches.plan(self.position.epoch)
        self.steps_in_epoch = len(plan) // self.micro_batches
        if not self.steps_in_epoch:
            raise TrainingError(f"epoch {self.position.epoch} has {len(plan)} batches, a step needs {self.micro_batches}")
        return plan

    def _step(self, plan: list[list[int]], share: float) -> tuple[float, bool]:
        """One optimiser step. Gives the share of the run that is done, and whether any process got a signal to stop."""
        settings, position = self.settings, self.position
        for group in self.optimizer.param_groups:
            group["lr"] = self._rate(share)
        first = self.processes.rank * settings.accumulate
        losses: dict[str, float] = {}
        count = 0
        self.optimizer.zero_grad(set_to_none=True)
        with self.model.one_step() if isinstance(self.model, Momentum) else nullcontext():
            for micro in range(first, first + settings.accumulate):
                seed_everything(self.seed, position.step, micro)
                batch = self._load(plan[position.batch * self.micro_batches + micro])
                count += len(batch[1])
                for name, value in self._pass(batch).items():
                    losses[name] = losses.get(name, 0.0) + value / self.micro_batches
        self.processes.sum_gradients(self.model)
        stop = float(self.signal is not None)
        *means, samples, clock, stop = self.processes.sum([*losses.values(), float(count), self.clock(), stop])
        losses = dict(zip(losses, means, strict=True))
        if not all(map(math.isfinite, means)):
            raise TrainingError(f"step {position.step}: the loss is not finite: {losses}; the last state is {self.state_file}")
        if settings.clip:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), settings.clip, foreach=True)
        self.optimizer.step()
        for name, value in losses.items():
            self.sums[name] = self.sums.get(name, 0.0) + value
        self.sums["steps"] = self.sums.get("steps", 0) + 1
        position.step += 1
        position.batch += 1
        position.samples += int(samples)
        share = max(self.done, clock)
        self._timely(share)
        return share, stop > 0

    def _pass(self, batch: tuple) -> dict[str, float]:
        """Forward and backward of a micro-batch."""
        settings, position = self.settings, self.position
        alpha = getattr(settings, "alpha", 0.0)
        if getattr(settings, "alpha_ramp", False):
            alpha = ramped_alpha(alpha, position.epoch, position.batch, self.steps_in_epoch)
        kind = self.processes.device.type
        with torch.autocast(kind, torch.bfloat16, enabled=settings.bfloat16):
            losses = self.task.losses(tuple(tensor.to(self.processes.device) for tensor in batch), alpha)
        (sum(losses.values()) / self.micro_batches).backward()
        return {name: value.item() for name, value in losses.items()}

    def _rate(self, share: float) -> float:
        s, position = self.settings, self.position
        if s.schedule == "smooth":
            return smooth_rate(min(share, 1.0), lr=s.lr, min_lr=s.min_lr, warmup=s.warmup)
        return step_rate(
            position.epoch, position.batch, lr=s.lr, min_lr=s.min_lr, warmup_lr=s.warmup_lr,
            warmup_epochs=s.warmup_epochs, epochs=s.epochs,
        )  # fmt: skip

    def _load(self, numbers: list[int]) -> tuple:
        """A micro-batch. For an item that cannot be had the next good one stands in, on every visit the same."""
        batches, replaced = self.task.batches, self.position.replaced
        while True:
            try:
                return batches.load([self._stand_in(number) for number in numbers], self.position.epoch)
            except SampleError as error:
                if error.item in replaced:
                    raise TrainingError(f"item {error.item} was replaced and is asked for again: {error}") from error
                replaced.append(error.item)
                told = {"replaced": error.item, "reason": str(error)}
                if self.processes.first:
                    self.progress.write(told)
                else:
                    print(json.dumps(told, ensure_ascii=False), file=sys.stderr, flush=True)

    def _stand_in(self, number: int) -> int:
        items, replaced = len(self.task.batches.items), self.position.replaced
        if len(replaced) >= items:
            raise TrainingError("not one training item can be had")
        while number in replaced:
            number = (number + 1) % items
        return number

    def _timely(self, share: float) -> None:
        """Reports, states and validations that are due; the others wait for the first process at their next step."""
        if not self.processes.first:
            return
        now, pace = time.monotonic(), self.pace
        self.progress.advance(share, self._line(share, now))
        if now - self.last["report"] >= pace.report:
            self._report(share, now)
        if now - self.last["validate"] >= pace.validate:
            self.save_model()
            self._validate()
            self.last["validate"] = self.last["report"] = time.monotonic()
        if self.position.step % pace.save_steps == 0 if pace.save_steps else now - self.last["save"] >= pace.save:
            self.save_state()

    def _speed(self, now: float) -> float:
        return (self.position.samples - self.samples_before) / max(now - self.begun, 1e-9)

    def _left(self, share: float, now: float) -> float:
        elapsed = self.position.seconds + now - self.begun
        return elapsed * (1 - share) / max(share, 1e-6)

    def _means(self) -> dict[str, float]:
        steps = max(self.sums.get("steps", 0), 1)
        return {name: value / steps for name, value in self.sums.items() if name != "steps"}

    def _line(self, share: float, now: float) -> str:
        losses = "  ".join(f"{name} {value:.3f}" for name, value in self._means().items())
        position = self.position
        return (
            f"step {position.step}  epoch {position.epoch}  {self._speed(now):.1f} samples/s  "
            f"{duration(self._left(share, now))} left  {losses}"
        )

    def _report(self, share: float, now: float) -> None:
        means, rate = self._means(), self.optimizer.param_groups[0]["lr"]
        self.progress.write({
            "step": self.position.step, "epoch": self.position.epoch, "rate": round(self._speed(now), 1),
            "left": f"{self._left(share, now) / 60:.1f} min", "lr": f"{rate:.2e}",
            **{name: round(value, 4) for name, value in means.items()},
        }, shown=False)  # fmt: skip
        curves = {f"loss/{name}": value for name, value in means.items()}
        self.progress.scalars(self.position.step, curves | {"run/lr": rate, "run/samples_per_second": self._speed(now)})
        self.sums = {}
        self.last["report"] = now

    def _validate(self) -> dict[str, float]:
        """Measures, logs, draws, and keeps the best model so far."""
        values = self.task.validate() if self.settings.validation_file else {}
        self.model.train()
        step = self.position.step
        if values and (self.position.best is None or self.task.score(values) > self.position.best):
            self.position.best = self.task.score(values)
            self.save_model("best.safetensors")
        self.progress.write({"validation": values, "step": step, "minutes": self.elapsed() / 60})
        self.progress.scalars(step, {f"validation/{name}": value for name, value in values.items()})
        if self.progress.board is not None and self.settings.validation_file:
            self.progress.pictures(step, draw_heatmaps(self.task))
            self.model.train()
        return values

    def save_model(self, name: str = "model.safetensors") -> None:
        """The student alone, for evaluation and export."""
        if self.processes.first:
            task = self.task
            save_checkpoint(self.folder / name, task.model, task.name, task.tokenizer.vocabulary, task.answers)

    def save_state(self, finished: bool = False) -> None:
        """Everything, for :meth:`resume`."""
        if self.processes.first:
            position = self.position
            now = {"seconds": self.elapsed(), "log_bytes": self.progress.log_bytes, "finished": finished}
            write_state(self.state_file, self.model, self.optimizer, Position(**(vars(position) | now)))
            self.last["save"] = time.monotonic()

    def _finish(self) -> None:
        replaced = int(self.processes.sum([float(len(self.position.replaced))])[0])
        if self.processes.first:
            self.save_model()
            values = self._validate()
            position = self.position
            self.progress.write({
                "finished": position.step, "samples": position.samples, "minutes": self.elapsed() / 60, "validation": values,
                "replaced_items": replaced,
            })  # fmt: skip
            self.save_state(finished=True)
        self.processes.wait()

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """The first SIGINT or SIGTERM ends the run after the step with its state saved; a second one ends it at once."""
        before = {}

        def stop(number: int, _frame: Any) -> None:
            self.signal = number
            signal.signal(number, before[number])

        for number in (signal.SIGINT, signal.SIGTERM):
            before[number] = signal.signal(number, stop)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _differences(found: Any, expected: Any, name: str) -> str:
    if isinstance(found, dict) and isinstance(expected, dict):
        keys = sorted(key for key in set(found) | set(expected) if found.get(key) != expected.get(key))
        return ", ".join(f"{name}.{key} {found.get(key)!r}, now {expected.get(key)!r}" for key in keys)
    return f"{name} {found!r}, now {expected!r}"
