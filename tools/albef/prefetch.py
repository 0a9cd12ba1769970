"""Batches loaded ahead by worker processes, in the order in which a training process asks for them."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from albef.data import Batches
from albef.pictures import SampleError

AHEAD = 2
"""Batches that each worker has ready."""


class Prefetched:
    """The same batches as ``batches``, byte for byte; ``workers`` processes decode, augment and tokenise ahead.

    Of every ``of`` batches of a plan, those numbered ``first`` to ``first + count - 1`` are loaded ahead: a process of several
    takes its share only. A batch that the plan does not hold, because an item was replaced, is loaded when asked for.
    """

    def __init__(self, batches: Batches, workers: int, first: int = 0, count: int = 1, of: int = 1) -> None:
        self.batches, self.workers, self.items = batches, workers, batches.items
        self._mine = range(first, first + count)
        self._of = of
        self._epoch = -1
        self._plan: list[list[int]] = []
        self._places: dict[tuple[int, ...], int] = {}
        self._ready: Iterator[tuple[int, Any]] | None = None
        self._next = 0

    def __len__(self) -> int:
        return len(self.batches)

    def plan(self, epoch: int) -> list[list[int]]:
        """The batches of an epoch; nothing is loaded yet."""
        self.close()
        self._epoch, self._plan = epoch, self.batches.plan(epoch)
        self._places = {tuple(numbers): place for place, numbers in enumerate(self._plan) if place % self._of in self._mine}
        return self._plan

    def load(self, numbers: list[int], epoch: int) -> tuple[Tensor, ...]:
        """A batch, mostly one that is ready; :class:`SampleError` as from ``batches``."""
        place = self._places.get(tuple(numbers)) if epoch == self._epoch else None
        if place is None:
            return self.batches.load(numbers, epoch)
        if self._ready is None or place < self._next:
            self.close()
            self._ready = self._start(place)
        for found, loaded in self._ready:
            self._next = found + 1
            if found == place:
                if isinstance(loaded, _Lost):
                    raise SampleError(loaded.item, loaded.reason)
                return tuple(map(torch.from_numpy, loaded))
        raise RuntimeError(f"batch {place} of epoch {epoch} was asked for, but the workers are past it")

    def close(self) -> None:
        """Ends the workers."""
        self._ready = None
        self._next = 0

    def _start(self, place: int) -> Iterator[tuple[int, Any]]:
        order = [each for each in self._places.values() if each >= place]
        return iter(DataLoader(
            _Plan(self.batches, self._plan, self._epoch), batch_size=None, sampler=order, num_workers=self.workers,
            collate_fn=_as_it_is, prefetch_factor=AHEAD, multiprocessing_context="fork", worker_init_fn=_leave_signals,
            # A generator of its own: the loader draws a number from it, and the run's must not depend on the workers.
            generator=torch.Generator(),
        ))  # fmt: skip


class _Lost:
    """What a worker sends for a batch that it cannot load."""

    def __init__(self, error: SampleError) -> None:
        self.item, self.reason = error.item, str(error)


class _Plan(Dataset):
    """Batches by their place in the plan, as NumPy arrays: those go through a pipe, where tensors would need shared memory,
    of which containers have little."""

    def __init__(self, batches: Batches, plan: list[list[int]], epoch: int) -> None:
        self.batches, self.plan, self.epoch = batches, plan, epoch

    def __getitem__(self, place: int) -> tuple[int, Any]:
        try:
            loaded = self.batches.load(self.plan[place], self.epoch)
        except SampleError as error:
            return place, _Lost(error)
        return place, tuple(tensor.numpy() for tensor in loaded)


def _as_it_is(value: Any) -> Any:
    return value


def _leave_signals(_worker: int) -> None:
    """Ctrl-C is for the trainer, which saves its state and then ends its workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
