#!/usr/bin/env bash
# Every kernel in every variant against the scalar bytes (Tests/KernelConformance): edge shapes, random cases, and all kernel
# calls of one match, one ground and one vqa; on this machine, and on ARM64 and older x86-64 under emulation. Then the digests
# of the scalar outputs of both architectures against each other. Needs a few minutes on two cores.
#
#   bash tools/conformance.sh [MODELS]    MODELS: a folder with retrieval-int8.albef and vqa-int8.albef, else they are exported
set -euo pipefail
models=${1:+$(cd "$1" && pwd)}
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=tools/setup.sh
source tools/setup.sh
# shellcheck source=tools/conformance_build.sh
source tools/conformance_build.sh

random_cases=2200    # of each operation, natively: more than 100,000 comparisons in all
emulated_cases=60

need_swift
need_packages "${runtime_packages[@]}" "${emulation_packages[@]}" binutils
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

say "kernel conformance: builds"
for kind in native serial avxvnni arm64; do
    case $kind-$(uname -m) in serial-aarch64 | avxvnni-aarch64) continue ;; esac
    build_conformance "$kind"
done
bash tools/conformance_faults.sh

say "kernel conformance: recorded calls"
if [ ! -f .build/release/albef-infer.product/Objects.LinkFileList ]; then
    swift build -c release --product albef-infer
fi
if [ -z "$models" ]; then
    swift build -c release --product albef-export
    models=$work
    for model in retrieval vqa; do
        .build/release/albef-export "models/$model/model.safetensors" -o "$work/$model-int8.albef" --precision int8 --quiet
    done
fi
build_recorder .build/release/albef-infer.product/Objects.LinkFileList
picture=fixtures/demo/grass-orange-circle.jpg
record() { ALBEF_RECORDING=$work/$1.calls "$recording_program" "${@:2}" >/dev/null; }
record match match -m "$models/retrieval-int8.albef" --image $picture --text "a large yellow star"
record ground ground -m "$models/retrieval-int8.albef" --image $picture --text "the yellow star" -o "$work/overlay.png"
record vqa vqa -m "$models/vqa-int8.albef" --image $picture --question "what color is the star?"
recordings=()
for name in match ground vqa; do recordings+=(--replay "$work/$name.calls"); done

summary=()
# $1: title; $2: the instruction set that must be found best, or - for any; then the command. Its output is kept for digests.
conform() {
    local title=$1 best=$2 output="$work/output-${#summary[@]}" found
    shift 2
    if ! "$@" >"$output"; then
        grep -v '^digest' "$output" | tail -n 40
        stop "kernel conformance failed: $title"
    fi
    found=$(sed -n 's/^best instruction set: //p' "$output")
    if [ "$best" != - ] && [ "$found" != "$best" ]; then
        stop "$title: dispatch took '$found', expected '$best'"
    fi
    summary+=("$(printf '%-34s %-11s %s' "$title" "$found" "$(tail -n 1 "$output")")")
    last_output=$output
}

say "kernel conformance: runs"
build_conformance native
native=$conformance_program
conform "this machine" - "$native" --cases "$random_cases" "${recordings[@]}"
[ "$(sed -n 's/ comparisons of random cases//p' "$last_output")" -ge 100000 ] || stop "fewer than 100,000 random cases were compared"
conform "this machine, scalar digests" - "$native" --isa scalar --cases "$emulated_cases"
grep '^digest' "$last_output" >"$work/digests"

if [ "$(uname -m)" = x86_64 ]; then
    if grep -q avx512_vnni /proc/cpuinfo; then
        build_conformance avxvnni
        conform "AVX-VNNI in EVEX encoding" - "$conformance_program" --isa avxvnni --cases "$random_cases" "${recordings[@]}"
    fi
    build_conformance serial
    # qemu's masked loads touch the lanes that are masked out. Features that it lacks are no part of what is tested.
    older=(--allow-reads-behind --cases 5)
    conform "x86-64, emulated Nehalem" scalar qemu-x86_64-static -cpu Nehalem "$conformance_program" "${older[@]}" 2>/dev/null
    conform "x86-64, emulated Haswell" avx2 qemu-x86_64-static -cpu Haswell "$conformance_program" "${older[@]}" 2>/dev/null
fi
build_conformance arm64
for pair in max:i8mm cortex-a76:dotprod cortex-a53:neon; do
    conform "ARM64, emulated ${pair%:*}" "${pair#*:}" \
        qemu-aarch64-static -cpu "${pair%:*}" "$conformance_program" --cases "$emulated_cases" "${recordings[@]}"
    grep '^digest' "$last_output" | diff "$work/digests" - >"$work/difference" || {
        cat "$work/difference"
        stop "scalar outputs differ between this machine and ARM64 (${pair%:*})"
    }
done

say "kernel conformance: summary"
printf '%s\n' "${summary[@]}"
echo "scalar digests of $(wc -l <"$work/digests") operations: equal on this machine and on ARM64"
