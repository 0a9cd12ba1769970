#!/usr/bin/env bash
# Runs every test, after installing what is missing: Swift unit, architecture and conformance tests; the shipped models
# exported and verified against their golden fixtures in both precisions; the commands' contract; the Python package.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$here/.."
# shellcheck source=tools/setup.sh
source tools/setup.sh

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

say "shipped models against their golden fixtures: bounds, and recorded bytes on every instruction set"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for folder in models/*/; do
    model=$(basename "$folder")
    for precision in float32 int8; do
        echo "-- $model, $precision"
        "$binaries/albef-export" "models/$model/model.safetensors" -o "$work/$model-$precision.albef" \
            --precision "$precision" --quiet
        verify=("$binaries/albef-infer" verify -m "$work/$model-$precision.albef" --fixtures "fixtures/golden/$model" --require-exact)
        "${verify[@]}"
        for variant in "scalar 1" "avx2 1" "avx2 3" "avx512vnni 2" "avx512vnni 8"; do
            read -r isa threads <<<"$variant"
            status=0
            "${verify[@]}" --isa "$isa" --threads "$threads" --json >"$work/verify.json" 2>"$work/verify.err" || status=$?
            case $status in
            0) echo "   $isa, $threads threads: equal bytes" ;;
            64) echo "   $isa, $threads threads: skipped, this processor lacks it" ;;
            *)
                cat "$work/verify.json" "$work/verify.err"
                stop "$model, $precision: verification failed on $isa with $threads threads"
                ;;
            esac
        done
    done
done

bash tools/conformance.sh "$work"

say "Python: lint and tests, the commands' contract among them"
"$python" -m ruff check tools
ALBEF_BINARIES=$binaries ALBEF_MODELS=$work "$python" -m pytest -q tools/tests
say "all tests passed"
