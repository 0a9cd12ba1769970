"""The figures as Markdown: tables for the README and for ``docs/performance.md``, between their markers."""

from __future__ import annotations

from pathlib import Path

from albef.metrics import table
from albef.peers.parts import PARTS, Part
from albef.tables import TableError, replace_between

OURS = "ours"
COLUMNS = {
    "torch_fp32": "torch fp32", "torch_int8": "torch int8", "ort_int8": "ONNX Runtime int8", "openvino_int8": "OpenVINO int8",
}  # fmt: skip
INT8 = ("torch_int8", "ort_int8", "openvino_int8")


def settings_of(comparison: dict, part: str) -> dict[str, dict[str, str]]:
    """The fastest setting of each runtime at a part."""
    row = comparison["parts"].get(part, {})
    return {name: figures["setting"] for name, figures in row.items() if "setting" in figures}


def milliseconds(figures: dict | None) -> str:
    """The best time as a cell."""
    if not figures or "best_ms" not in figures:
        return "–"
    best = figures["best_ms"]
    return f"{best:.1f} ms" if best < 100 else f"{best:.0f} ms"


def ratio(peer: dict | None, ours: dict | None) -> float | None:
    """How many times faster we are."""
    if not peer or not ours or "best_ms" not in peer or "best_ms" not in ours:
        return None
    return peer["best_ms"] / ours["best_ms"]


def accepted(figures: dict, name: str) -> bool:
    """Whether a runtime was seen to run without AVX-512 in one setting at least; such settings alone are then measured."""
    seen = figures["instructions"].get("avx2", {}).get(name, {})
    return any(state is not None and state.get("without_avx512") for state in seen.values())


def comparison_table(comparison: dict, peers: tuple[str, ...]) -> str:
    """A table of one number of threads: best times, and the best int8 peer's time as a multiple of ours."""
    rows = []
    for part in PARTS:
        row = comparison["parts"].get(part.name)
        if row is None:
            continue
        ours = row.get(OURS)
        times = [ratio(row.get(name), ours) for name in peers if name in INT8]
        most = min((each for each in times if each is not None), default=None)
        share = f"{ours['peak_share'] * 100:.0f} %" if ours and shares_peak(part) else ""
        rows.append(
            [
                part.label, f"{part.gmac:.3g}", *(milliseconds(row.get(name)) for name in peers), milliseconds(ours),
                "" if most is None else f"{most:.2f} ×", share,
            ]  # fmt: skip
        )
    header = ["work", "GMAC", *(COLUMNS[name] for name in peers), "albef", "faster than the best int8", "of int8 peak"]
    return table(header, rows)


def shares_peak(part: Part) -> bool:
    """Whether the runtime multiplies what is counted; with absorbed or shared products it does less."""
    return part.name in ("image", "text_30")


def heading(figures: dict, comparison: dict) -> str:
    """What a table is of."""
    count = comparison["threads"]
    return f"{'One thread' if count == 1 else f'{count} threads'}:"


def peers_block(figures: dict) -> str:
    """The README's tables: the best instruction set, fewest threads last, then start and memory."""
    machine = figures["machine"]
    lines = [
        f"{machine['processor']} ({', '.join(machine['features'])}), best of {figures['runs']} turns, all runtimes in turn in "
        "one run; GMAC as the published algorithm counts."
    ]
    for comparison in reversed([each for each in figures["comparisons"] if each["isa"] == "best"]):
        lines += ["", heading(figures, comparison), "", comparison_table(comparison, tuple(COLUMNS))]
    lines += ["", rest_table(figures)]
    return "\n".join(lines)


def rest_table(figures: dict) -> str:
    """Start and memory."""
    start, memory = figures.get("start", {}), figures.get("memory", {})
    rows = []
    if start:
        label = "process start to first text embedding, warm page cache"
        rows.append([label, *(milliseconds(start.get(name)) for name in COLUMNS), milliseconds(start.get(OURS))])
    if memory:
        label = f"peak memory (VmHWM) of the image encoder ({memory['weights'] / 1e6:.0f} MB of int8 weights)"
        rows.append([label, *(megabytes(memory.get(name)) for name in COLUMNS), megabytes(memory.get(OURS))])
    return table(["", *COLUMNS.values(), "albef"], rows)


def megabytes(count: int | None) -> str:
    return "–" if count is None else f"{count / 1e6:.0f} MB"


def avx2_block(figures: dict) -> str:
    """Tables without AVX-512, and what was seen of each runtime's instructions."""
    lines: list[str] = []
    peers = ("torch_int8", "openvino_int8")
    for comparison in (each for each in figures["comparisons"] if each["isa"] == "avx2"):
        good = tuple(name for name in peers if accepted(figures, name))
        lines += [heading(figures, comparison), "", comparison_table(comparison, good), ""]
    lines += ["Instructions of the image encoder, one thread, sampled (EVEX is AVX-512's encoding):", ""]
    rows = []
    for isa, runtimes in figures["instructions"].items():
        for name, settings in runtimes.items():
            for setting, seen in settings.items():
                rows.append([COLUMNS.get(name, "albef"), "all" if isa == "best" else isa, setting, *instructions(seen)])
    lines.append(table(["runtime", "instruction sets", "setting", "samples", "EVEX", "VEX", "without AVX-512"], rows))
    return "\n".join(lines)


def instructions(seen: dict | None) -> list[str]:
    """Cells of a sample."""
    if seen is None:
        return ["0", "", "", "unknown: sampling was not allowed"]
    if "error" in seen:
        return ["0", "", "", seen["error"]]
    count = max(1, seen["samples"])
    return [
        str(seen["samples"]), f"{seen['evex'] / count * 100:.1f} %", f"{seen['vex'] / count * 100:.1f} %",
        "yes" if seen["without_avx512"] else "no",
    ]  # fmt: skip


def settings_block(figures: dict) -> str:
    """Versions, and which setting of each runtime was the fastest at each part."""
    lines = []
    versions: dict[str, str] = {}
    for comparison in figures["comparisons"]:
        versions |= comparison.get("versions", {})
    lines.append(", ".join(f"{COLUMNS[name]} {version}" for name, version in versions.items()) + ".")
    rows = []
    for comparison in figures["comparisons"]:
        for part in PARTS:
            for name, cell in comparison["parts"].get(part.name, {}).items():
                tried = cell.get("tried_ms", {})
                if len(tried) > 1:
                    texts = [f"{setting}: {value:.1f}" for setting, value in sorted(tried.items(), key=lambda pair: pair[1])]
                    isa = "all" if comparison["isa"] == "best" else comparison["isa"]
                    rows.append([isa, str(comparison["threads"]), part.label, COLUMNS[name], "; ".join(texts)])
    lines += ["", table(["instruction sets", "threads", "work", "runtime", "settings tried, ms, fastest first"], rows)]
    return "\n".join(lines)


def stages_block(figures: dict) -> str:
    """Every stage and task of our own, each model's once."""
    rows, seen = [], set()
    for answer in figures["stages"].values():
        for stage in answer["stages"]:
            if stage["stage"] in seen:
                continue
            seen.add(stage["stage"])
            products = [f"{stage['gmac']:.3g}", f"{stage['floor_ms']:.2f}", f"{stage['peak_share'] * 100:.0f} %"]
            gmac, floor, share = products if stage["gmac"] else ["", "", ""]
            times = [f"{stage[key]:.2f}" for key in ("min_ms", "p50_ms", "p90_ms")]
            rows.append([f"`{stage['stage']}`", gmac, *times, floor, share])
    first = next(iter(figures["stages"].values()))
    head = (
        f"{first['isa']}, {first['threads']} threads, {first['runs']} runs: int8 peak {first['peak']['int8_gmacs']:.0f} GMAC/s, "
        f"reading memory {first['peak']['read_gbytes']:.1f} GB/s."
    )
    columns = ["stage", "GMAC", "least, ms", "median, ms", "90th percentile, ms", "floor, ms", "of int8 peak"]
    return f"{head}\n\n{table(columns, rows)}"


BLOCKS = {"peers": peers_block, "peers-avx2": avx2_block, "peers-settings": settings_block, "stages": stages_block}


def everything(figures: dict) -> str:
    """All blocks."""
    return "\n\n".join(f"{name}:\n\n{block(figures)}" for name, block in BLOCKS.items())


def write(document: Path, figures: dict) -> None:
    """Replaces each block whose markers a document has; one at least."""
    text = document.read_text(encoding="utf-8")
    present = [name for name in BLOCKS if f"<!-- {name} -->" in text]
    if not present:
        raise TableError(f"{document}: needs one of {', '.join(f'<!-- {name} -->' for name in BLOCKS)}")
    for name in present:
        text = replace_between(text, name, BLOCKS[name](figures), document)
    document.write_text(text, encoding="utf-8")
