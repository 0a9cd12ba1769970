#!/usr/bin/env bash
# Runs torch, ONNX Runtime, OpenVINO and albef in turn on the same work and writes the tables of README.md and
# docs/performance.md. Installs what is missing; keeps the runtimes, their int8 networks and our packed models in a cache.
# Nothing else should run meanwhile. Arguments go to `python -m albef.peers`, for example --runs 7, or --prepare beforehand.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$here/.."
# shellcheck source=tools/setup.sh
source tools/setup.sh

need_swift
need_packages "${runtime_packages[@]}"
need_peers_python "$here"

say "release build of the commands"
for command in albef-export albef-infer albef-bench; do swift build -c release --product "$command"; done

say "the comparison"
PYTHONPATH=$here exec "$peers_python" -m albef.peers "$@"
