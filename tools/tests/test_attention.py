"""The attention that is written out under autocast gives the fused kernel's values."""

import pytest
import torch

from albef.model.attention import attend


@pytest.mark.parametrize("tokens,keys", [(1, 1), (3, 13), (13, 65), (65, 65)])
@pytest.mark.parametrize("masked", [False, True])
def test_written_out_attention_agrees_with_the_fused_kernel_to_bfloat16(tokens, keys, masked):
    generator = torch.Generator().manual_seed(tokens * 100 + keys)
    q = torch.randn(2, 4, tokens, 32, generator=generator)
    k, v = torch.randn(2, 2, 4, keys, 32, generator=generator)
    mask = torch.rand(2, 1, 1, keys, generator=generator) < 0.6 if masked else None
    if masked:
        mask[..., 0] = True
    fused = attend(q, k, v, mask)
    with torch.autocast("cpu", torch.bfloat16):
        written = attend(q, k, v, mask)
    assert written.dtype == torch.bfloat16
    torch.testing.assert_close(written.float(), fused, atol=0.03, rtol=0.03)


def test_masked_keys_have_no_influence_under_autocast():
    q, k, v = torch.randn(3, 1, 2, 4, 8, generator=torch.Generator().manual_seed(1))
    mask = torch.tensor([True, True, False, False]).view(1, 1, 1, 4)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(attend(q, k, v, mask), attend(q, k[:, :, :2], v[:, :, :2]))
