"""GELU as the runtime's int8 linear layers have it (docs/arithmetic.md): x (1/2 + p), p a quadratic in |x| for each quarter."""

from __future__ import annotations

import math

import torch
from torch import Tensor

LIMIT = float.fromhex("0x1.fffffep+1")
# The runtime's float32 constants (common/gelu_int8.h): coefficient [k][i] of |x|^k on [i/4, (i+1)/4).
COEFFICIENTS = (
    tuple(map(float.fromhex, (
        "0x0p+0 -0x1.841cbap-9 -0x1.650406p-7 -0x1.4117cp-6 -0x1.391cp-6 0x1.1270ecp-10 0x1.7a2f44p-5 "
        "0x1.d0f74ep-4 0x1.8caa2p-3 0x1.1946cap-2 0x1.62a55cp-2 0x1.9c7e4ap-2 0x1.c59ebcp-2 0x1.e0328ap-2 "
        "0x1.efe658p-2 0x1.096d14p-1"
    ).split())),
    tuple(map(float.fromhex, (
        "0x1.9aecd2p-2 0x1.b2557p-2 0x1.d2e2c6p-2 0x1.eb25b2p-2 0x1.eabe52p-2 0x1.ca33b6p-2 0x1.8ce366p-2 "
        "0x1.3e2886p-2 0x1.d8085ap-3 0x1.4453fcp-3 0x1.9d5106p-4 0x1.e91b22p-5 0x1.0d0faep-5 0x1.138834p-6 "
        "0x1.06e282p-7 -0x1.426eap-7"
    ).split())),
    tuple(map(float.fromhex, (
        "-0x1.a2eecap-6 -0x1.20ed64p-4 -0x1.a3fc2cp-4 -0x1.e6262ep-4 -0x1.e686e6p-4 -0x1.b3316ep-4 "
        "-0x1.61c748p-4 -0x1.07de22p-4 -0x1.6b4bd2p-5 -0x1.cf7f8ep-6 -0x1.12bddp-6 -0x1.2f449p-7 -0x1.3829e2p-8 "
        "-0x1.2bfbe2p-9 -0x1.0d622ep-10 0x1.573acp-10"
    ).split())),
)


class _Gelu(torch.autograd.Function):
    """Backward as the exact GELU, of which this is within 1.27e-4. Doubles hold the products of float32 exactly, and so stand for
    fused multiply-adds."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        x = x.float()
        ctx.save_for_backward(x)
        b = x.abs().clamp_max(LIMIT)
        table = torch.tensor(COEFFICIENTS, dtype=torch.float64, device=x.device)
        c0, c1, c2 = table[:, (4 * b).nan_to_num(0.0).long()]
        p = (c2 * b + c1).float().double()
        p = (p * b + c0).float()
        return x * (0.5 + torch.copysign(p, x))

    @staticmethod
    def backward(ctx, g: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        slope = 0.5 * (1 + torch.erf(x * math.sqrt(0.5))) + x * torch.exp(-0.5 * x * x) / math.sqrt(2 * math.pi)
        return g * slope


def gelu_int8(x: Tensor) -> Tensor:
    """GELU of an int8 linear layer's outputs, which are quantised next."""
    return _Gelu.apply(x)
