"""``python -m albef.peers``: runs torch, ONNX Runtime, OpenVINO and us in turn and writes the README's table.

Nothing else should run meanwhile. What is made once (int8 forms of the networks, our packed models) stays in a cache folder.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from albef.peers import report
from albef.peers.convert import convert
from albef.peers.measure import Options, compare, machine, memory, peers, say, starts
from albef.peers.ours import TASKS, find
from albef.peers.parts import PARTS
from albef.peers.processes import PeerError, processors
from albef.tables import ROOT, TableError


def default_cache() -> Path:
    base = os.environ.get("ALBEF_CACHE") or str(Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "albef")
    return Path(base) / "peers"


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m albef.peers", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=7, help="turns of each runtime at each part (%(default)s)")
    parser.add_argument("--threads", type=int, nargs="+", help="numbers of threads (default: 1 and all processors)")
    parser.add_argument("--cpu", type=int, help="the processor for one thread (default: the first that is allowed)")
    parser.add_argument("--parts", nargs="+", choices=[each.name for each in PARTS], help="default: all")
    parser.add_argument("--no-avx2", action="store_true", help="leave out the comparison without AVX-512")
    parser.add_argument("--cache", type=Path, default=default_cache(), help="%(default)s")
    parser.add_argument("--binaries", type=Path, help="folder of albef-infer and albef-export (default: the release build)")
    parser.add_argument("--json", type=Path, help="raw figures (default: peers.json in the cache folder)")
    parser.add_argument("--write", type=Path, nargs="*", metavar="DOCUMENT", help="replaces the tables of these documents")
    parser.add_argument("--from-json", type=Path, metavar="FILE", help="measure nothing: write tables of these raw figures")
    parser.add_argument("--prepare", action="store_true", help="make what is kept in the cache folder, and end")
    options = parser.parse_args(arguments)
    if options.runs < 1:
        parser.error("--runs takes 1 or more")
    return options


def measured(options: argparse.Namespace) -> dict:
    """All figures."""
    parts = [each for each in PARTS if options.parts is None or each.name in options.parts]
    ours = find(options.binaries, options.cache)
    for network in dict.fromkeys(network for each in parts for network in each.networks):
        say(f"int8 forms of {network.name}")
        convert(network, options.cache)
    for task in TASKS:
        ours.model(task)
    if options.prepare:
        return {}
    threads = options.threads or sorted({1, len(os.sched_getaffinity(0))})
    settings = Options(ours, options.cache, options.runs, threads, options.cpu, parts, not options.no_avx2)
    figures: dict = {"format": 1, "machine": machine(), "runs": options.runs, "comparisons": [], "instructions": {}}
    for isa in (None, "avx2") if settings.avx2 else (None,):
        tried, figures["instructions"][isa or "best"] = peers(settings, isa)
        figures["comparisons"] += [compare(settings, count, isa, tried) for count in threads]
    most = figures["comparisons"][len(threads) - 1]
    best = report.settings_of(most, "image")
    say("memory, and start to first text")
    figures["memory"] = memory(settings, threads[-1], best)
    figures["start"] = starts(settings, threads[-1], report.settings_of(most, "text_30"))
    say("all stages of albef")
    cpus = processors(threads[-1], options.cpu)
    figures["stages"] = {task: ours.bench(task, cpus, options.runs, []) for task in TASKS}
    return figures


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    try:
        if options.from_json:
            figures = json.loads(options.from_json.read_text(encoding="utf-8"))
        else:
            figures = measured(options)
            if options.prepare:
                return 0
            target = options.json or options.cache / "peers.json"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
            say(f"raw figures: {target}")
        for document in [ROOT / "README.md"] if options.write == [] else options.write or []:
            report.write(document, figures)
            say(f"{document}: tables rewritten")
    except (PeerError, TableError, OSError) as error:
        print(f"albef.peers: {error}", file=sys.stderr)
        return 1
    print(report.everything(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
