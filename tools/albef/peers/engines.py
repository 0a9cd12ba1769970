"""The other runtimes: each loads a part and gives back a function that runs it once.

A runtime is imported where it is used, so that a process holds one of them alone: its start and its memory are its own.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from albef.peers.convert import feed, onnx_dynamic, onnx_static, openvino_int8
from albef.peers.parts import Network, Part

Setting = dict[str, str]
Run = Callable[[], object]


@dataclass
class Engine(ABC):
    """One runtime with a number of threads, in a process of its own."""

    threads: int
    cache: Path
    # What the loaded networks are made of, where the runtime tells.
    primitives: set[str] = field(default_factory=set)

    name = ""
    label = ""
    # All are tried, and the fastest is measured.
    settings: tuple[Setting, ...] = ({},)

    @abstractmethod
    def network(self, network: Network, setting: Setting) -> Run:
        """Loads a network; what is given back runs it once."""

    @abstractmethod
    def version(self) -> str:
        """Of the runtime's package."""

    def part(self, part: Part, setting: Setting) -> Run:
        runs = [self.network(network, setting) for network in part.networks]
        return lambda: [run() for run in runs]


class TorchFloat(Engine):
    """PyTorch in float32."""

    name = "torch_fp32"
    label = "torch fp32"

    def network(self, network: Network, setting: Setting) -> Run:
        import torch

        from albef.peers.networks import build, example

        torch.set_num_threads(self.threads)
        module, inputs = self.convert(build(network, self.cache), setting), tuple(example(network).values())

        def run() -> object:
            with torch.inference_mode():
                return module(*inputs)

        return run

    def convert(self, module, setting: Setting):
        return module

    def version(self) -> str:
        import torch

        return torch.__version__


class TorchInt8(TorchFloat):
    """PyTorch with dynamically quantised linear layers."""

    name = "torch_int8"
    label = "torch int8"
    settings = ({"engine": "x86"}, {"engine": "onednn"})

    def convert(self, module, setting: Setting):
        import warnings

        import torch

        torch.backends.quantized.engine = setting.get("engine", "x86")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.ao.quantization.quantize_dynamic(module, {torch.nn.Linear}, dtype=torch.qint8)


class OnnxRuntimeInt8(Engine):
    """ONNX Runtime with int8 products, quantised dynamically or with scales fixed beforehand."""

    name = "ort_int8"
    label = "ONNX Runtime int8"
    settings = ({"form": "dynamic"}, {"form": "static"})

    def network(self, network: Network, setting: Setting) -> Run:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads, options.log_severity_level = self.threads, 1, 3
        form = onnx_static if setting.get("form") == "static" else onnx_dynamic
        session = onnxruntime.InferenceSession(form(network, self.cache), options, providers=["CPUExecutionProvider"])
        inputs = feed(network, self.cache)
        return lambda: session.run(None, inputs)

    def version(self) -> str:
        import onnxruntime

        return onnxruntime.__version__


class OpenVinoInt8(Engine):
    """OpenVINO on a network that NNCF quantised. It computes what stays in floats in bfloat16 where the processor can."""

    name = "openvino_int8"
    label = "OpenVINO int8"
    settings = (
        {"PERFORMANCE_HINT": "LATENCY"},
        {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"},
        {"NUM_STREAMS": "1", "INFERENCE_PRECISION_HINT": "f32", "ENABLE_CPU_PINNING": "NO"},
    )

    def network(self, network: Network, setting: Setting) -> Run:
        import openvino

        options = {"INFERENCE_NUM_THREADS": self.threads, **setting}
        compiled = openvino.Core().compile_model(openvino_int8(network, self.cache), "CPU", options)
        for operation in compiled.get_runtime_model().get_ordered_ops():
            information = operation.get_rt_info()
            if "primitiveType" in information:
                self.primitives.add(str(information["primitiveType"].astype(str)))
        request, inputs = compiled.create_infer_request(), feed(network, self.cache)
        return lambda: request.infer(inputs)

    def version(self) -> str:
        import openvino

        return openvino.__version__


ENGINES: dict[str, type[Engine]] = {each.name: each for each in (TorchFloat, TorchInt8, OnnxRuntimeInt8, OpenVinoInt8)}
