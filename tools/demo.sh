#!/usr/bin/env bash
# The main job on real picture files: exports the shipped models to int8, then asks them about the pictures in
# fixtures/demo. Installs what is missing; needs neither Python nor torch. Results land in demo-output/.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=tools/setup.sh
source tools/setup.sh

need_swift
need_packages "${runtime_packages[@]}"

say "building albef-export and albef-infer (release)"
swift build -c release --product albef-export
swift build -c release --product albef-infer
binaries=$(swift build -c release --show-bin-path)
out=demo-output
mkdir -p "$out"

# Shows a command as a user would type it, then runs it.
run() {
    printf '\n$ %s\n' "$*"
    local command=$1
    shift
    "$binaries/$command" "$@"
}

say "one file each: int8 models packed from the shipped float32 checkpoints"
for model in pretrain retrieval vqa entailment nlvr; do
    run albef-export "models/$model/model.safetensors" -o "$out/$model.albef"
done

pictures=fixtures/demo
read_field() { sed -n "s/^$1: //p" "$pictures/demo.txt"; }

say "retrieval: which picture shows this?"
run albef-infer search -m "$out/retrieval.albef" --images "$pictures" --text "$(read_field search)" --top 3

say "matching: does the sentence fit the picture?"
run albef-infer match -m "$out/retrieval.albef" --image "$pictures/$(read_field picture)" --text "$(read_field true)"
run albef-infer match -m "$out/retrieval.albef" --image "$pictures/$(read_field picture)" --text "$(read_field false)"

say "visual question answering"
sed -n 's/^question: //p' "$pictures/demo.txt" | while IFS='|' read -r picture question; do
    run albef-infer vqa -m "$out/vqa.albef" --image "$pictures/$picture" --question "$question" --top 3
done

say "visual entailment: does the sentence follow from the picture?"
sed -n 's/^entail: //p' "$pictures/demo.txt" | while IFS='|' read -r picture sentence; do
    run albef-infer entail -m "$out/entailment.albef" --image "$pictures/$picture" --text "$sentence"
done

say "reasoning over two pictures (NLVR2)"
sed -n 's/^reason: //p' "$pictures/demo.txt" | while IFS='|' read -r first second sentence; do
    run albef-infer reason -m "$out/nlvr.albef" --left "$pictures/$first" --right "$pictures/$second" --text "$sentence"
done

say "masked words: what does the picture fill in?"
sed -n 's/^mask: //p' "$pictures/demo.txt" | while IFS='|' read -r picture text; do
    run albef-infer fill-mask -m "$out/pretrain.albef" --image "$pictures/$picture" --text "$text" --top 3
done

say "grounding: where is it?"
run albef-infer ground -m "$out/retrieval.albef" --image "$pictures/$(read_field picture)" \
    --text "$(read_field ground)" -o "$out/overlay.png" --heatmap "$out/heatmap.npy"
say "done: see $out/overlay.png"
