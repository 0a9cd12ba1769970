"""Several processes that train one model together, as ``torchrun`` starts them; one process is the simplest case."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn

PATIENCE = timedelta(hours=4)
"""How long a process waits for the others: the first one validates and writes checkpoints alone."""


def together() -> bool:
    """Whether a process group of more than one exists."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def gather_rows(rows: Tensor) -> Tensor:
    """Concatenates the rows of all processes in the order of their ranks, without a gradient; all give equal shapes."""
    if not together():
        return rows
    parts = [torch.empty_like(rows) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, rows.contiguous())
    return torch.cat(parts)


@dataclass(frozen=True)
class Processes:
    """This process among all of them."""

    device: torch.device
    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this process writes files and speaks for all."""
        return self.rank == 0

    @contextmanager
    def first_goes_ahead(self) -> Iterator[None]:
        """The first process runs the body, then the others do: they find what it left in caches."""
        if not self.first:
            self.wait()
        yield
        if self.first:
            self.wait()

    def wait(self) -> None:
        """Until all processes are here."""
        if self.size > 1:
            dist.barrier()

    def sum(self, values: list[float]) -> list[float]:
        """Element-wise sums over the processes."""
        if self.size == 1:
            return values
        total = torch.tensor(values, dtype=torch.float64, device=self.device)
        dist.all_reduce(total)
        return total.tolist()

    @torch.no_grad()
    def sum_gradients(self, model: nn.Module) -> None:
        """Adds up gradients. A parameter that no process has a gradient for stays without one, as in one process."""
        if self.size == 1:
            return
        parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        used = torch.tensor([float(p.grad is not None) for p in parameters], device=self.device)
        dist.all_reduce(used)
        shared = [parameter for parameter, count in zip(parameters, used.tolist(), strict=True) if count]
        for parameter in shared:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        flat = torch.cat([parameter.grad.flatten() for parameter in shared])
        dist.all_reduce(flat)
        for parameter, total in zip(shared, flat.split([p.numel() for p in shared]), strict=True):
            parameter.grad.copy_(total.view_as(parameter))

    def close(self) -> None:
        """Leaves the group."""
        if self.size > 1:
            dist.destroy_process_group()


def join_processes(device: str) -> Processes:
    """Joins the processes that ``torchrun`` started, if it did. ``device``: cpu, cuda, or auto for CUDA where there is some."""
    kind = device if device != "auto" else ("cuda" if torch.cuda.is_available() else "cpu")
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if kind == "cuda":
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    where = torch.device(kind, torch.cuda.current_device()) if kind == "cuda" else torch.device(kind)
    if size == 1:
        return Processes(where)
    dist.init_process_group("nccl" if kind == "cuda" else "gloo", timeout=PATIENCE)
    return Processes(where, dist.get_rank(), size)
