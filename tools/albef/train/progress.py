"""What a person sees of a run: a bar on a terminal, else lines of JSON; a log; TensorBoard."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm


def load_tensorboard() -> Any | None:
    """TensorBoard's writer, where the package ``tensorboard`` is installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter


def duration(seconds: float) -> str:
    """Hours, minutes and seconds, as 1:02:03 or 2:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class Progress:
    """Writes to ``folder``/log.jsonl, to the screen and, with ``writer``, for TensorBoard.

    A process that does not speak for all is given ``silent``. Of a resumed run's log the first ``log_bytes`` are kept, so
    that steps which are done again stand in it once; TensorBoard forgets what came after ``step`` in the same way.
    """

    def __init__(
        self, folder: Path, *, silent: bool = False, writer: Any | None = None, log_bytes: int = 0, step: int = 0,
        terminal: bool | None = None,
    ) -> None:  # fmt: skip
        self.silent = silent
        self.bar: tqdm | None = None
        self.board: Any | None = None
        if silent:
            return
        folder.mkdir(parents=True, exist_ok=True)
        self.log = (folder / "log.jsonl").open("ab")
        if log_bytes:
            self.log.truncate(log_bytes)
        if sys.stderr.isatty() if terminal is None else terminal:
            self.bar = tqdm(total=1.0, bar_format="{percentage:3.0f}% |{bar}| {postfix}", file=sys.stderr)
        if writer is not None:
            self.board = writer(str(folder / "tensorboard"), purge_step=step)

    def write(self, values: dict[str, Any], shown: bool = True) -> None:
        """A line of the log; ``shown`` ones appear on a terminal too, beside the bar."""
        if self.silent:
            return
        line = json.dumps(values, ensure_ascii=False)
        self.log.write(line.encode() + b"\n")
        self.log.flush()
        if self.bar is None:
            print(line, flush=True)
        elif shown:
            self.bar.write(line, file=sys.stdout)

    def advance(self, done: float, text: str) -> None:
        """Moves the bar to the share ``done`` of the run."""
        if self.bar is not None:
            self.bar.set_postfix_str(text, refresh=False)
            self.bar.update(min(done, 1.0) - self.bar.n)

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """Curves."""
        if self.board is not None:
            for name, value in values.items():
                self.board.add_scalar(name, value, step)

    def pictures(self, step: int, values: dict[str, np.ndarray]) -> None:
        """uint8 [height, width, 3] each."""
        if self.board is not None:
            for name, value in values.items():
                self.board.add_image(name, value, step, dataformats="HWC")
            self.board.flush()

    @property
    def log_bytes(self) -> int:
        """Length of the log."""
        return 0 if self.silent else self.log.tell()

    def close(self) -> None:
        """Leaves the screen and the files in order."""
        if self.silent:
            return
        self.log.close()
        if self.bar is not None:
            self.bar.close()
        if self.board is not None:
            self.board.close()
