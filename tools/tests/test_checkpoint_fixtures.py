"""The committed checkpoints are those that the script writes."""

from pathlib import Path

import pytest
import torch

import make_checkpoint_fixtures


@pytest.mark.skipif(not torch.__version__.startswith("2.13."), reason="another PyTorch writes other bytes")
def test_fixtures_are_reproducible(tmp_path: Path) -> None:
    make_checkpoint_fixtures.write(tmp_path)
    written = sorted(tmp_path.iterdir())
    assert [path.name for path in written] == sorted(path.name for path in make_checkpoint_fixtures.FOLDER.iterdir())
    for path in written:
        assert path.read_bytes() == (make_checkpoint_fixtures.FOLDER / path.name).read_bytes(), path.name
