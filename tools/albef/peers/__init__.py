"""A comparison with other runtimes: torch, ONNX Runtime and OpenVINO do the same work as ``albef-infer bench``, in turn.

``bash tools/peers.sh`` installs them and runs ``python -m albef.peers``.
"""
