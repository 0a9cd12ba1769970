"""`python -m albef.world --output FOLDER`: makes the pictures and texts that the shipped models learn from."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from albef.world.dataset import NOISE, generate


def default_folder() -> Path:
    """Outside of any checkout: `$ALBEF_CACHE/world`, else `~/.cache/albef/world`."""
    shared = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "albef"
    return Path(os.environ.get("ALBEF_CACHE", shared)) / "world"


def main() -> None:
    """Parses the options and makes what is missing."""
    parser = argparse.ArgumentParser(prog="python -m albef.world", description=__doc__)
    parser.add_argument("--output", type=Path, default=default_folder(), help="folder to fill (default: %(default)s)")
    parser.add_argument("--train", type=int, default=20_000, help="training pictures (default: %(default)s)")
    parser.add_argument("--val", type=int, default=500, help="validation pictures (default: %(default)s)")
    parser.add_argument("--test", type=int, default=500, help="test pictures (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="another seed is another world (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes (default: %(default)s)")
    parser.add_argument("--noise", type=float, default=NOISE, help="wrong captions in pretrain_noisy.json (default: %(default)s)")
    options = parser.parse_args()
    if not 0 <= options.noise <= 1:
        parser.error(f"--noise: found {options.noise}, expected 0 to 1")
    counts = {"train": options.train, "val": options.val, "test": options.test}
    generate(options.output, counts, options.seed, options.workers, options.noise)
    print(f"{options.output}: {counts['train']} train, {counts['val']} val and {counts['test']} test pictures")


if __name__ == "__main__":
    main()
