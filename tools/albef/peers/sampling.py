"""Which instructions a process runs, by stopping it many times and looking at the one that comes next.

In 64-bit mode a first byte 0x62 is the EVEX prefix of AVX-512 (of its 256-bit forms too), 0xC4 and 0xC5 are the VEX prefix of
AVX and AVX2. A runtime that computes with AVX-512 spends most of its time in EVEX instructions; one that keeps from it in none.
"""

from __future__ import annotations

import ctypes
import os
import platform
import random
import time
from dataclasses import dataclass
from pathlib import Path

_PTRACE_PEEKTEXT, _PTRACE_CONT, _PTRACE_GETREGS, _PTRACE_DETACH = 1, 7, 12, 17
_PTRACE_SEIZE, _PTRACE_INTERRUPT = 0x4206, 0x4207
_WALL = 0x40000000
# Of struct user_regs_struct on x86-64, in words.
_REGISTERS, _RIP = 27, 16
# Computed between two samples, at least.
_LEAST_NANOSECONDS = 200_000
# A runtime that uses AVX-512 for its products is in such instructions for most of its time.
ALLOWED_SHARE = 0.01


@dataclass(frozen=True)
class Sampled:
    """Instructions by encoding."""

    evex: int
    vex: int
    other: int

    @property
    def count(self) -> int:
        return self.evex + self.vex + self.other

    @property
    def evex_share(self) -> float:
        return self.evex / self.count if self.count else 1.0

    @property
    def without_avx512(self) -> bool:
        return self.evex_share <= ALLOWED_SHARE


def encoding(first: int) -> str:
    """``evex``, ``vex`` or ``other`` by an instruction's first byte."""
    return "evex" if first == 0x62 else "vex" if first in (0xC4, 0xC5) else "other"


def sample(process: int, count: int = 400, interval: float = 0.004, limit: float = 20.0) -> Sampled | None:
    """Samples the busiest thread of a process that is computing; None where the system or the processor does not allow it.

    A thread counts only where it has computed since the last look: on a busy machine it may still stand where it stood. After
    ``limit`` seconds there are fewer samples than asked for.
    """
    if platform.machine() != "x86_64":
        return None
    library = ctypes.CDLL(None, use_errno=True)
    library.ptrace.restype = ctypes.c_long
    library.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    thread = busiest_thread(process)
    if library.ptrace(_PTRACE_SEIZE, thread, None, None) != 0:
        return None
    found = {"evex": 0, "vex": 0, "other": 0}
    registers = (ctypes.c_ulonglong * _REGISTERS)()
    end, computed = time.monotonic() + limit, nanoseconds(process, thread)
    try:
        while sum(found.values()) < count and time.monotonic() < end:
            # Random, so as not to keep step with a loop.
            time.sleep(interval * random.uniform(0.5, 1.5))
            if library.ptrace(_PTRACE_INTERRUPT, thread, None, None) != 0:
                break
            os.waitpid(thread, _WALL)
            if nanoseconds(process, thread) - computed >= _LEAST_NANOSECONDS:
                library.ptrace(_PTRACE_GETREGS, thread, None, ctypes.addressof(registers))
                word = library.ptrace(_PTRACE_PEEKTEXT, thread, registers[_RIP], None)
                found[encoding(word & 0xFF)] += 1
                computed = nanoseconds(process, thread)
            library.ptrace(_PTRACE_CONT, thread, None, None)
    finally:
        if library.ptrace(_PTRACE_INTERRUPT, thread, None, None) == 0:
            os.waitpid(thread, _WALL)
            library.ptrace(_PTRACE_DETACH, thread, None, None)
    return Sampled(**found)


def nanoseconds(process: int, thread: int) -> int:
    """The time that a thread has computed."""
    return int(Path(f"/proc/{process}/task/{thread}/schedstat").read_text().split()[0])


def busiest_thread(process: int, seconds: float = 0.3) -> int:
    """The thread that computes most for a while."""
    threads = [int(entry.name) for entry in Path(f"/proc/{process}/task").iterdir()]
    before = {thread: nanoseconds(process, thread) for thread in threads}
    time.sleep(seconds)
    return max(threads, key=lambda thread: nanoseconds(process, thread) - before[thread])
