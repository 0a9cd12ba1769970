"""The image encoder's time by cause."""

from __future__ import annotations

from pathlib import Path

import pytest

from albef.remainder import LABELS, PASSES, PRODUCTS, block, causes, causes_table
from albef.runtime import CommandError

ROOT = Path(__file__).resolve().parents[2]


def measurements(threads: int) -> list[dict]:
    """Every product takes 2 ms at half the peak, every pass 0.1 ms."""
    out: list[dict] = [{"measurement": "peak", "threads": threads, "int8_gmacs": 236.0}]
    for name in PRODUCTS:
        if name == "image.attention":
            out.append({"measurement": "rows", "kernel": name, "threads": threads, "ms": 2.0, "int8_share": 0.5})
        else:
            out.append({"measurement": "linear", "layer": name, "threads": threads, "int8_ms": 2.0, "int8_share": 0.5})
    for name in PASSES:
        out.append({"measurement": "rows", "kernel": name, "threads": threads, "ms": 0.1, "int8_share": 0.0})
    return out


def test_what_the_kernels_take_and_what_they_leave_adds_up_to_the_whole() -> None:
    found = causes([*measurements(1), *measurements(2)], 1, 150.0)
    assert sum(cause.milliseconds for cause in found) == pytest.approx(150.0)
    assert sum(cause.floor for cause in found) == pytest.approx(61.0)
    assert found[0].above == pytest.approx(1.0)
    # 61 products of 2 ms, 86 passes of 0.1 ms.
    assert found[-1].milliseconds == pytest.approx(150.0 - 122.0 - 8.6)
    lines = causes_table(found, 150.0).splitlines()
    assert "| queries, keys and values | 12 | 24.00 | 12.00 | 12.00 | 8.0 % |" in lines
    assert lines[-1] == "| **image encoder** |  | 150.00 | 61.00 | 89.00 | 59.3 % |"
    text = block(measurements(2), {2: {"isa": "avx2", "stages": [{"min_ms": 150.0}]}})
    assert text.startswith("2 threads, avx2, peak 236 GMAC/s:\n\n| cause |")


def test_a_kernel_that_was_not_measured_is_named() -> None:
    with pytest.raises(CommandError, match="no 'image.qkv' with 1 threads"):
        causes([each for each in measurements(1) if each.get("layer") != "image.qkv"], 1, 1.0)


def test_every_kernel_stands_in_the_list_of_shapes_and_has_a_label() -> None:
    lines = (ROOT / "fixtures" / "shapes" / "albef_384.txt").read_text().splitlines()
    names = {line.split()[1] for line in lines if not line.startswith("#")}
    assert set(PRODUCTS) | set(PASSES) <= names
    assert set(PRODUCTS) | set(PASSES) == set(LABELS)
