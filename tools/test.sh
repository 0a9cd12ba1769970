#!/usr/bin/env bash
# Runs every test, after installing what is missing: Swift unit, architecture and conformance tests; the shipped models
# exported and verified against their golden fixtures in both precisions; the commands' contract; the Python package.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$here/.."
# shellcheck source=tools/setup.sh
source tools/setup.sh
# shellcheck source=tools/conformance_build.sh
source tools/conformance_build.sh

need_swift
need_packages "${runtime_packages[@]}" binutils
need_python "$here"

say "Swift: build"
swift build --build-tests
say "Swift: tests"
swift test --skip-build

say "release build of the commands"
swift build -c release --product albef-export
swift build -c release --product albef-infer
binaries=$(swift build -c release --show-bin-path)

say "shipped models against their golden fixtures: bounds, and recorded bytes on every instruction set with 1 to 16 threads"
# The scalar kernels with every number of threads for every case: half an hour more.
exhaustive=()
if [ -n "${ALBEF_SLOW_TESTS:-}" ]; then exhaustive=(--exhaustive); fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for folder in models/*/; do
    model=$(basename "$folder")
    for precision in float32 int8; do
        echo "-- $model, $precision"
        "$binaries/albef-export" "models/$model/model.safetensors" -o "$work/$model-$precision.albef" \
            --precision "$precision" --quiet
        "$binaries/albef-infer" verify -m "$work/$model-$precision.albef" --fixtures "fixtures/golden/$model" --require-exact \
            --every-setting "${exhaustive[@]}"
    done
done

bash tools/conformance.sh "$work"
bash tools/thread_sanitizer.sh

if grep -q avx512_vnni /proc/cpuinfo; then
    say "int8 models against their golden fixtures: recorded bytes with AVX-VNNI in EVEX encoding and 1 to 16 threads"
    build_conformance avxvnni
    build_evex "$binaries/albef-infer.product/Objects.LinkFileList"
    for folder in models/*/; do
        model=$(basename "$folder")
        for threads in {1..16}; do
            "$evex_program" verify -m "$work/$model-int8.albef" --fixtures "fixtures/golden/$model" --require-exact \
                --isa avxvnni --threads "$threads" >"$work/verified" || { cat "$work/verified"; stop "$model: not the recorded bytes"; }
        done
        echo "-- $model: $(sed -n 's/^exact bytes: //p' "$work/verified"), with each of 1 to 16 threads"
    done
fi

say "Python: lint and tests, the commands' contract among them"
"$python" -m ruff check tools
ALBEF_BINARIES=$binaries ALBEF_MODELS=$work "$python" -m pytest -q tools/tests
say "all tests passed"
