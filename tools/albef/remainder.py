"""``python -m albef.remainder -m MODEL``: what keeps the image encoder from the peak, by cause.

The whole is timed by ``albef-infer bench``, its kernels at the same shapes by ``albef-bench``, both beside the machine's peak.
A product's floor is its multiply-adds at the peak; whatever multiplies nothing has none. What the kernels do not explain (moves,
threads that wait, caches that the kernels alone keep warm) is the last row. ``--write`` replaces the table of a document.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from albef.metrics import table
from albef.runtime import ROOT, CommandError, find_command
from albef.tables import TableError, replace_between

BLOCKS = 12
# Calls of each kernel for one picture, by the name of its shape: products, then passes.
PRODUCTS = {
    "image.patch": 1, "image.qkv": BLOCKS, "image.attention": BLOCKS, "image.projection": BLOCKS, "image.mlp.up": BLOCKS,
    "image.mlp.down": BLOCKS,
}  # fmt: skip
PASSES = {
    "image.norm": 2 * BLOCKS + 1, "image.rows": 3 * BLOCKS + 1, "image.hidden": BLOCKS, "image.keys.values": BLOCKS,
}  # fmt: skip
LABELS = {
    "image.patch": "patch embedding", "image.qkv": "queries, keys and values", "image.attention": "attention",
    "image.projection": "projection, with residual", "image.mlp.up": "MLP up, with GELU",
    "image.mlp.down": "MLP down, with residual", "image.norm": "LayerNorm", "image.rows": "quantising rows of 768",
    "image.hidden": "quantising rows of 3,072", "image.keys.values": "quantising and packing keys and values",
}  # fmt: skip


@dataclass(frozen=True)
class Cause:
    """Where time goes: milliseconds of all calls, and what the peak allows for them."""

    label: str
    calls: int
    milliseconds: float
    floor: float

    @property
    def above(self) -> float:
        return self.milliseconds - self.floor


def causes(measurements: list[dict], threads: int, whole: float) -> list[Cause]:
    """The kernels of one picture, and last what they do not explain.

    ``measurements`` are the lines of ``albef-bench --json``; ``whole`` is the picture's milliseconds.
    """
    mine = [each for each in measurements if each.get("threads") == threads]
    linear = {each["layer"]: each for each in mine if each["measurement"] == "linear"}
    rows = {each["kernel"]: each for each in mine if each["measurement"] == "rows"}
    out = []
    for name, calls in (PRODUCTS | PASSES).items():
        if name in linear:
            each, share = linear[name]["int8_ms"], linear[name]["int8_share"]
        elif name in rows:
            each, share = rows[name]["ms"], rows[name]["int8_share"] if name in PRODUCTS else 0.0
        else:
            raise CommandError(f"albef-bench measured no '{name}' with {threads} threads")
        out.append(Cause(LABELS[name], calls, calls * each, calls * each * share))
    rest = whole - sum(cause.milliseconds for cause in out)
    return [*out, Cause("not explained by the kernels alone", 0, rest, 0.0)]


def causes_table(found: list[Cause], whole: float) -> str:
    """A row for each cause, and their sum."""
    floor = sum(cause.floor for cause in found)

    def row(label: str, calls: str, milliseconds: float, least: float) -> list[str]:
        above = milliseconds - least
        share = f"{above / whole * 100:.1f} %"
        return [label, calls, f"{milliseconds:.2f}", f"{least:.2f}" if least else "", f"{above:.2f}", share]

    rows = [row(cause.label, str(cause.calls or ""), cause.milliseconds, cause.floor) for cause in found]
    rows.append(row("**image encoder**", "", whole, floor))
    return table(["cause", "calls", "ms", "floor, ms", "above the floor, ms", "of the whole"], rows)


def block(measurements: list[dict], wholes: dict[int, dict]) -> str:
    """Tables for each number of threads; ``wholes`` are the answers of ``albef-infer bench``."""
    lines = []
    for threads, answer in wholes.items():
        whole = answer["stages"][0]["min_ms"]
        peak = next(each["int8_gmacs"] for each in measurements if each["measurement"] == "peak" and each["threads"] == threads)
        lines += [
            f"{threads} thread{'s' if threads > 1 else ''}, {answer['isa']}, peak {peak:.0f} GMAC/s:", "",
            causes_table(causes(measurements, threads, whole), whole), "",
        ]  # fmt: skip
    return "\n".join(lines).rstrip()


def run(command: list[object], threads: int) -> str:
    """Standard output of a command, with one processor for one thread."""
    allowed = sorted(os.sched_getaffinity(0))
    cpus = ",".join(map(str, allowed[:1] if threads == 1 else allowed))
    result = subprocess.run(["taskset", "-c", cpus, *map(str, command)], capture_output=True, text=True, check=False, cwd=ROOT)
    if result.returncode != 0:
        raise CommandError(f"{Path(str(command[0])).name}: {result.stderr.strip().splitlines()[-1:]}")
    return result.stdout


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m albef.remainder", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("-m", "--model", type=Path, required=True, help="a .albef file of the published size")
    parser.add_argument("--runs", type=int, default=20, help="of the whole image encoder (%(default)s)")
    parser.add_argument("--seconds", type=float, default=0.3, help="for each kernel (%(default)s)")
    parser.add_argument("--threads", type=int, nargs="+", default=sorted({1, len(os.sched_getaffinity(0))}))
    parser.add_argument("--binaries", type=Path)
    parser.add_argument("--write", type=Path, nargs="?", const=ROOT / "docs" / "performance.md", metavar="DOCUMENT")
    options = parser.parse_args(arguments)
    try:
        measurements: list[dict] = []
        wholes = {}
        for threads in options.threads:
            kernels = [find_command("albef-bench", options.binaries), "--json", "--threads", threads]
            kernels += ["--seconds", options.seconds]
            measurements += [json.loads(line) for line in run(kernels, threads).splitlines()]
            bench = [
                find_command("albef-infer", options.binaries), "bench", "-m", options.model.resolve(), "--threads", threads,
                "--runs", options.runs, "--stages", "image_encoder", "--json",
            ]  # fmt: skip
            wholes[threads] = json.loads(run(bench, threads))
        text = block(measurements, wholes)
        if options.write:
            document = options.write.read_text(encoding="utf-8")
            options.write.write_text(replace_between(document, "remainder", text, options.write), encoding="utf-8")
    except (CommandError, TableError, OSError) as error:
        print(f"albef.remainder: {error}", file=sys.stderr)
        return 1
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
