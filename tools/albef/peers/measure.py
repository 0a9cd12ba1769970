"""The comparison: every runtime does a part in turn, many times over, so that whatever drifts hits all alike."""

from __future__ import annotations

import os
import platform
import statistics
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from albef.peers.engines import ENGINES, Setting
from albef.peers.ours import Ours, image_weight_bytes
from albef.peers.parts import PARTS, Part, part
from albef.peers.processes import PeerError, Worker, environment, pinned, processors, seconds_to_answer
from albef.peers.sampling import Sampled, sample

OURS = "ours"
AVX2_PEERS = ("torch_int8", "openvino_int8")
STARTED = ("ort_int8", "openvino_int8")
# A turn takes so many seconds at least, if five runs fill them; then the next runtime goes on.
TURN_SECONDS = 0.12
TURN_RUNS = 5
# Longer runs are tried once for each setting.
LONG_SECONDS = 0.4
# Worker threads of some runtimes spin on for a while after a run.
PAUSE_SECONDS = 0.05
SPIN_SECONDS = 3.0


Settings = dict[str, tuple[Setting, ...]]


@dataclass
class Options:
    """What is measured, and with what."""

    ours: Ours
    cache: Path
    runs: int
    threads: list[int]
    cpu: int | None
    parts: list[Part] = field(default_factory=lambda: list(PARTS))
    avx2: bool = True


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


@dataclass
class Series:
    """Seconds of a runtime over its turns."""

    turns: list[list[float]] = field(default_factory=list)

    def figures(self) -> dict[str, float]:
        """The least time, and the median of the turns' medians."""
        return {
            "best_ms": min(map(min, self.turns)) * 1e3,
            "median_ms": statistics.median(map(statistics.median, self.turns)) * 1e3,
        }


def turn_size(seconds: float) -> tuple[int, int]:
    """Runs of a turn, and runs before them that do not count: one where caches and sleeping threads would show."""
    return max(1, min(TURN_RUNS, int(TURN_SECONDS / seconds))), int(seconds < TURN_SECONDS)


def tune(worker: Worker, name: str, settings: tuple[Setting, ...]) -> tuple[Setting, float, dict[str, float]]:
    """The fastest setting, its time in seconds, and the milliseconds of all."""
    tried: list[tuple[float, Setting]] = []
    failures = []
    for setting in settings:
        try:
            seconds = worker.ask(do="time", part=name, setting=setting, runs=1, warmups=1)["seconds"]
            if seconds[0] < LONG_SECONDS:
                seconds += worker.ask(do="time", part=name, setting=setting, runs=2, warmups=0)["seconds"]
            tried.append((min(seconds), setting))
        except PeerError as error:
            failures.append(str(error))
    if not tried:
        raise PeerError(failures[0])
    best = min(tried, key=lambda pair: pair[0])
    return best[1], best[0], {describe(setting): seconds * 1e3 for seconds, setting in tried}


def describe(setting: Setting) -> str:
    """A setting as a text."""
    return ", ".join(f"{key}={value}" for key, value in setting.items()) or "default"


def compare(options: Options, threads: int, isa: str | None, settings: Settings) -> dict:
    """All parts with one number of threads; ``isa`` is None, or "avx2" for runtimes that are kept from AVX-512."""
    cpus = processors(threads, options.cpu)
    out: dict = {"isa": isa or "best", "threads": threads, "cpus": cpus, "parts": {}, "versions": {}, "primitives": {}}
    with ExitStack() as stack:
        workers = {name: stack.enter_context(Worker(name, threads, options.cache, cpus, isa)) for name in settings}
        for each in compared(options, isa):
            say(f"{isa or 'all instruction sets'}, {threads} threads: {each.label}")
            present = {name: workers[name] for name in settings if name in each.peers}
            out["parts"][each.name] = measure(options, each, present, settings, cpus, isa)
        for name, worker in workers.items():
            state = worker.ask(do="state")
            out["versions"][name], out["primitives"][name] = state["version"], state["primitives"]
    return out


def compared(options: Options, isa: str | None) -> list[Part]:
    """The parts that are compared under a ceiling."""
    return [each for each in options.parts if isa is None or each.avx2]


def peers(options: Options, isa: str | None) -> tuple[Settings, dict[str, dict]]:
    """The runtimes to compare with the settings to try, and what instructions they were seen to run.

    Without AVX-512 only those settings count that keep from it; a runtime that has none is measured all the same, to be told.
    """
    parts = compared(options, isa)
    names = [name for name in ENGINES if any(name in each.peers for each in parts) and (isa is None or name in AVX2_PEERS)]
    settings = {name: ENGINES[name].settings for name in names}
    cpus = processors(1, options.cpu)
    seen: dict[str, dict] = {}
    for name in AVX2_PEERS:
        if name not in names:
            continue
        # With all instruction sets a single look shows that looking tells the difference.
        tried = settings[name] if isa else settings[name][:1]
        say(f"{isa or 'all instruction sets'}: instructions of {name}")
        with Worker(name, 1, options.cache, cpus, isa) as worker:
            seen[name] = look(worker, tried)
        if isa:
            clean = tuple(setting for setting in tried if keeps_clear(seen[name][describe(setting)]))
            settings[name] = clean or tried
    seen[OURS] = look_at_ours(options, cpus, isa)
    return settings, seen


def keeps_clear(seen: dict | None) -> bool:
    """Whether a sample shows no AVX-512."""
    return seen is not None and seen.get("without_avx512", False)


def measure(
    options: Options, each: Part, workers: dict[str, Worker], settings: Settings, cpus: list[int], isa: str | None,
) -> dict:  # fmt: skip
    """One part: the best setting of each runtime, then turns."""
    row: dict = {}
    sizes: dict[str, tuple[int, int]] = {}
    for name, worker in workers.items():
        try:
            setting, seconds, tried = tune(worker, each.name, settings[name])
            worker.ask(do="forget", **{"except": {"part": each.name, "setting": setting}})
            row[name] = {"setting": setting, "tried_ms": tried}
            sizes[name] = turn_size(seconds)
        except PeerError as error:
            say(str(error))
            row[name] = {"error": str(error)}
    ours = options.ours.part(each, cpus, 1, isa)
    sizes[OURS] = (turn_size(ours["min_ms"] / 1e3)[0], 0)
    series = {name: Series() for name in sizes}
    answers: list[dict] = []
    order = list(sizes)
    for turn in range(options.runs):
        for name in order[turn % len(order) :] + order[: turn % len(order)]:
            time.sleep(PAUSE_SECONDS)
            runs, warmups = sizes[name]
            if name == OURS:
                answers.append(options.ours.part(each, cpus, runs, isa))
                series[name].turns.append([answers[-1]["min_ms"] / 1e3, answers[-1]["p50_ms"] / 1e3])
                continue
            answer = workers[name].ask(
                do="time", part=each.name, setting=row[name]["setting"], runs=runs, warmups=warmups
            )
            series[name].turns.append(answer["seconds"])
    for name, one in series.items():
        row.setdefault(name, {}).update(one.figures())
    row[OURS]["median_ms"] = statistics.median(answer["p50_ms"] for answer in answers)
    fastest = min(answers, key=lambda answer: answer["min_ms"])
    row[OURS] |= {key: fastest[key] for key in ("gmac", "isa", "floor_ms")}
    # The peak drifts as the times do: the best of each over the same turns.
    peak = max(answer["peak"]["int8_gmacs"] for answer in answers)
    row[OURS] |= {"int8_gmacs_peak": peak, "peak_share": each.gmac / row[OURS]["best_ms"] * 1e3 / peak}
    row[OURS] |= {"read_gbytes": max(answer["peak"]["read_gbytes"] for answer in answers)}
    for worker in workers.values():
        worker.ask(do="forget")
    return row


def look(worker: Worker, settings: tuple[Setting, ...]) -> dict[str, dict | None]:
    """What instructions a runtime runs the image encoder with, by setting."""
    found: dict[str, dict | None] = {}
    for setting in settings:
        try:
            worker.ask(do="load", part="image", setting=setting)
            worker.send(do="spin", part="image", setting=setting, seconds=SPIN_SECONDS)
            # The first run may still build its code.
            time.sleep(SPIN_SECONDS / 4)
            found[describe(setting)] = shares(sample(worker.process.pid))
            worker.receive()
            worker.ask(do="forget")
        except PeerError as error:
            found[describe(setting)] = {"error": str(error)}
    return found


def look_at_ours(options: Options, cpus: list[int], isa: str | None) -> dict[str, dict | None]:
    """The same of our own process."""
    process = options.ours.spinning(part("image"), cpus, isa)
    try:
        # Behind the measurement of the peak.
        time.sleep(SPIN_SECONDS / 2)
        return {"default": shares(sample(process.pid))}
    finally:
        process.kill()
        process.wait()


def shares(sampled: Sampled | None) -> dict | None:
    """For the file of raw figures."""
    if sampled is None:
        return None
    return {"samples": sampled.count, "evex": sampled.evex, "vex": sampled.vex, "without_avx512": sampled.without_avx512}


def starts(options: Options, threads: int, best: dict[str, Setting]) -> dict:
    """From the start of a process to a text's first features, warm page cache: ours, and runtimes under Python."""
    cpus = processors(threads, options.cpu)
    compiled = options.cache / "compiled"
    commands: dict[str, list[list[str]]] = {OURS: [options.ours.first_text(cpus)]}
    for name in STARTED:
        settings = [best.get(name, {})]
        if name == "openvino_int8":
            settings.append({**settings[0], "CACHE_DIR": str(compiled)})
        commands[name] = [first_text(name, threads, options.cache, cpus, setting) for setting in settings]
    out: dict = {}
    variables = environment(threads)
    for turn in range(min(options.runs, 5) + 1):
        for name, variants in commands.items():
            for command in variants:
                seconds = seconds_to_answer(command, variables)
                # The first turn warms the page cache.
                if turn:
                    out.setdefault(name, {}).setdefault(" ".join(command), []).append(seconds)
    return {name: min((Series([times]).figures() for times in tried.values()), key=by_best) for name, tried in out.items()}


def by_best(figures: dict[str, float]) -> float:
    return figures["best_ms"]


def first_text(name: str, threads: int, cache: Path, cpus: list[int], setting: Setting) -> list[str]:
    import json

    command = [sys.executable, "-m", "albef.peers.worker", name, "--threads", threads, "--cache", cache]
    return pinned([*command, "--first", json.dumps(setting)], cpus)


def memory(options: Options, threads: int, best: dict[str, Setting]) -> dict[str, int]:
    """The most resident bytes of a process that encoded one picture, in a process of its own each."""
    cpus = processors(threads, options.cpu)
    out = {OURS: options.ours.image_memory(picture(options.cache), cpus), "weights": image_weight_bytes(options.ours)}
    for name in ENGINES:
        with Worker(name, threads, options.cache, cpus) as worker:
            worker.ask(do="time", part="image", setting=best.get(name, {}), runs=1, warmups=1)
            out[name] = worker.ask(do="state")["peak_resident_bytes"]
    return out


def picture(cache: Path) -> Path:
    """A JPEG of a common size."""
    target = cache / "picture.jpg"
    if not target.exists():
        import numpy as np
        from PIL import Image

        small = np.random.default_rng(1).integers(0, 256, (12, 16, 3), dtype=np.uint8)
        Image.fromarray(small).resize((640, 480), Image.Resampling.BICUBIC).save(target, quality=90)
    return target


def machine() -> dict[str, object]:
    """What the figures belong to."""
    text = Path("/proc/cpuinfo").read_text()
    names = [line.split(":", 1)[1].strip() for line in text.splitlines() if line.startswith("model name")]
    features = [name for name in ("avx2", "avx_vnni", "avx512_vnni", "avx512_bf16", "amx_int8") if f" {name}" in text]
    return {
        "processor": names[0] if names else platform.machine(), "features": features,
        "processors": len(os.sched_getaffinity(0)), "kernel": platform.release(),
    }  # fmt: skip
