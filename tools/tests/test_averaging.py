"""The mean of two checkpoints: every tensor, the first one's metadata, and no mean of what does not belong together."""

from __future__ import annotations

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from albef.averaging import average, main


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_every_tensor_is_the_weighted_mean(share, tmp_path):
    torch.manual_seed(6)
    a, b = ({"x": torch.randn(3, 4), "y": torch.randn(())} for _ in range(2))
    save_file(a, tmp_path / "a.safetensors", {"albef.task": "retrieval"})
    save_file(b, tmp_path / "b.safetensors", {"albef.task": "vqa"})
    names = [str(tmp_path / f"{name}.safetensors") for name in "abc"]
    main([*names[:2], "--share", str(share), "-o", names[2]])
    with safe_open(names[2], framework="pt") as file:
        assert file.metadata() == {"albef.task": "retrieval"}
        for name in a:
            torch.testing.assert_close(file.get_tensor(name), a[name] + share * (b[name] - a[name]))


def test_checkpoints_of_different_models_are_refused():
    one = {"x": torch.zeros(2)}
    with pytest.raises(ValueError, match="1 tensors are in one checkpoint only, first y"):
        average(one, one | {"y": torch.zeros(1)}, 0.5)
    with pytest.raises(ValueError, match=r"x: shapes \[2\] and \[3\]"):
        average(one, {"x": torch.zeros(3)}, 0.5)
