"""The networks in the other runtimes' own int8 forms, made once and kept in a cache folder.

ONNX Runtime: dynamic int8 (activations quantised at run time) and static QDQ. OpenVINO: NNCF's post-training quantisation for
transformers. Both quantise weights per channel. Calibration sees two random inputs: only speed is measured here.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from albef.peers.parts import Network

SAMPLES = 2
QUANTIZED = ("MatMul", "Gemm")


def onnx_dynamic(network: Network, cache: Path) -> Path:
    """ONNX with dynamic int8 products."""

    def make(target: Path) -> None:
        from onnxruntime.quantization import QuantType, quantize_dynamic

        quantize_dynamic(
            prepared(network, cache), target, weight_type=QuantType.QInt8, per_channel=True, op_types_to_quantize=[*QUANTIZED]
        )

    return kept(cache / f"{network.name}.dynamic.onnx", make)


def onnx_static(network: Network, cache: Path) -> Path:
    """ONNX with quantise and dequantise nodes (QDQ)."""

    def make(target: Path) -> None:
        from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

        class Samples(CalibrationDataReader):
            def __init__(self) -> None:
                self.left = [feed(network, cache)] * SAMPLES

            def get_next(self) -> dict[str, np.ndarray] | None:
                return self.left.pop() if self.left else None

        quantize_static(
            prepared(network, cache), target, Samples(), quant_format=QuantFormat.QDQ, per_channel=True,
            weight_type=QuantType.QInt8, activation_type=QuantType.QUInt8, op_types_to_quantize=[*QUANTIZED],
        )  # fmt: skip

    return kept(cache / f"{network.name}.static.onnx", make)


def openvino_int8(network: Network, cache: Path) -> Path:
    """OpenVINO IR, quantised by NNCF."""

    def make(target: Path) -> None:
        import logging

        import nncf
        import openvino

        nncf.set_log_level(logging.ERROR)
        model = openvino.Core().read_model(exported(network, cache))
        quantized = nncf.quantize(
            model, nncf.Dataset([feed(network, cache)] * SAMPLES), model_type=nncf.ModelType.TRANSFORMER,
            preset=nncf.QuantizationPreset.MIXED, subset_size=SAMPLES,
        )  # fmt: skip
        openvino.save_model(quantized, target)

    return kept(cache / f"{network.name}.int8.xml", make)


def feed(network: Network, cache: Path) -> dict[str, np.ndarray]:
    """Example inputs; kept in a file, so that a runtime can be started without torch."""

    def make(target: Path) -> None:
        from albef.peers.networks import example

        with target.open("wb") as stream:
            np.savez(stream, **{name: tensor.numpy() for name, tensor in example(network).items()})

    with np.load(kept(cache / f"{network.name}.npz", make)) as arrays:
        return {name: arrays[name] for name in arrays.files}


def exported(network: Network, cache: Path) -> Path:
    """The float network as ONNX."""

    def make(target: Path) -> None:
        import torch

        from albef.peers.networks import build, example

        inputs = example(network)
        with torch.inference_mode():
            torch.onnx.export(
                build(network, cache), tuple(inputs.values()), target, input_names=list(inputs), opset_version=17, dynamo=False
            )

    return kept(cache / f"{network.name}.onnx", make)


def prepared(network: Network, cache: Path) -> Path:
    """The float network as ONNX Runtime's quantiser wants it: shapes inferred, graph simplified."""

    def make(target: Path) -> None:
        from onnxruntime.quantization.shape_inference import quant_pre_process

        quant_pre_process(exported(network, cache), target, skip_symbolic_shape=True)

    return kept(cache / f"{network.name}.prepared.onnx", make)


def convert(network: Network, cache: Path) -> None:
    """Makes every form, then removes the float ones, which nothing reads later."""
    forms = (openvino_int8(network, cache), onnx_dynamic(network, cache), onnx_static(network, cache))
    assert all(form.exists() for form in forms)
    for suffix in (".onnx", ".prepared.onnx"):
        (cache / (network.name + suffix)).unlink(missing_ok=True)


def kept(target: Path, make: Callable[[Path], None]) -> Path:
    """``target``, made if it is not there yet; it appears whole or not at all."""
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f"partial-{target.name}")
    make(partial)
    if target.suffix == ".xml":
        partial.with_suffix(".bin").rename(target.with_suffix(".bin"))
    partial.rename(target)
    return target
