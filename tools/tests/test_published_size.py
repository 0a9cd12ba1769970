"""What a model of the published size costs: resident memory of one picture, and the start to a first text.

Its weights are random, made and exported here: about ten seconds and 840 MB in the temporary folder, gone before the tests run.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
BINARIES = os.environ.get("ALBEF_BINARIES")
PICTURE = ROOT / "fixtures" / "demo" / "grass-orange-circle.jpg"

pytestmark = pytest.mark.skipif(BINARIES is None, reason="ALBEF_BINARIES names no built commands")

# A child's peak counts what its parent had when it began: this small process stands between it and pytest with torch.
PEAK = """
import json, resource, subprocess, sys
code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode
print(json.dumps([code, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024]))
"""


def command(name: str) -> str:
    return str(Path(BINARIES or "") / name)


def peak(*arguments: object) -> int:
    """The most bytes that were resident in a run of ``albef-infer``: its ``VmHWM``."""
    run = [sys.executable, "-I", "-S", "-c", PEAK, command("albef-infer"), *map(str, arguments)]
    code, resident = json.loads(subprocess.run(run, check=True, capture_output=True, text=True).stdout)
    assert code == 0
    return resident


@pytest.fixture(scope="module")
def model() -> Iterator[Path]:
    with TemporaryDirectory() as folder:
        checkpoint, packed = Path(folder) / "retrieval.safetensors", Path(folder) / "retrieval.albef"
        make = [sys.executable, "-m", "albef.random_checkpoint", "--task", "retrieval", "-o", str(checkpoint)]
        subprocess.run(make, check=True, capture_output=True, env={**os.environ, "PYTHONPATH": str(ROOT / "tools")})
        subprocess.run([command("albef-export"), str(checkpoint), "-o", str(packed), "--quiet"], check=True)
        checkpoint.unlink()
        yield packed


@pytest.fixture(scope="module")
def read_bytes(model: Path) -> int:
    """Bytes of the weights that encoding a picture reads."""
    run = [command("albef-infer"), "info", "-m", str(model), "--tensors", "--json"]
    tensors = json.loads(subprocess.run(run, check=True, capture_output=True, text=True).stdout)["tensors"]
    return sum(each["bytes"] for each in tensors if each["name"].startswith(("visual_encoder.", "vision_proj.")))


@pytest.mark.parametrize("threads", [1, 2, 16])
def test_a_picture_takes_at_most_40_mb_beside_the_weights_it_reads(model, read_bytes, threads, tmp_path, capsys):
    assert 85e6 < read_bytes < 92e6
    out = tmp_path / "features.npy"
    resident = peak("embed", "-m", model, "--image", PICTURE, "-o", out, "--threads", threads)
    assert np.load(out).shape == (1, 256)
    with capsys.disabled():
        print(f"\n{threads} threads: {resident / 1e6:.1f} MB resident, {(resident - read_bytes) / 1e6:.1f} MB beside the weights")
    # The weights that are read must have become resident, or something else than this process was measured.
    assert read_bytes < resident <= read_bytes + 40e6


def test_the_start_to_a_first_text_is_reported(model, tmp_path, capsys):
    """No bound: a busy machine would break any. docs/performance.md has the figure of a quiet one."""
    times = []
    for _ in range(5):
        begun = time.perf_counter()
        run = [command("albef-infer"), "embed", "-m", str(model), "--text", "a dog on the beach", "--json"]
        answer = subprocess.run(run, check=True, capture_output=True, text=True)
        times.append(time.perf_counter() - begun)
        assert len(json.loads(answer.stdout.splitlines()[0])) > 0
    with capsys.disabled():
        print(f"\nstart to a first text's features, process included: {1e3 * min(times):.0f} ms, the best of five")
