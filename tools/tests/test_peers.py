"""The comparison with other runtimes, as far as it needs none of them."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import fields
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from albef.model.config import ModelConfig
from albef.peers import measure, networks, report
from albef.peers.__main__ import main
from albef.peers.engines import ENGINES, Engine
from albef.peers.ours import TASKS, Ours
from albef.peers.parts import (
    ANSWER_TOKENS,
    ANSWERS,
    PARTS,
    PUBLISHED,
    QUESTION_TOKENS,
    SCORED_ANSWERS,
    Network,
    multiply_adds,
    part,
)
from albef.peers.processes import PeerError, environment, peak_resident_bytes, pinned, processors, seconds_to_answer
from albef.peers.sampling import Sampled, encoding, sample
from albef.peers.worker import Worker, serve
from albef.random_checkpoint import LONG_LENGTHS, made_up_answers, synthetic_vocabulary
from albef.runtime import COMMANDS, Runtime
from albef.tables import ROOT, TableError
from albef.text import Tokenizer

NETWORKS = list(dict.fromkeys(network for each in PARTS for network in each.networks))


@pytest.mark.parametrize(
    ("name", "gmac"),
    [("image", 55.48), ("text_30", 1.2823), ("fusion_30", 5.738), ("fusion_16_30", 91.81), ("fusion_16_12", 75.90)],
)
def test_products_are_those_of_the_published_comparison(name: str, gmac: float) -> None:
    assert part(name).gmac == pytest.approx(gmac, rel=2e-4)


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.name)
def test_products_are_what_the_reference_multiplies(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    # Tensors without memory have no autocast that could be asked for.
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda *_: False)
    with torch.device("meta"):
        module = networks.KINDS[network.kind]().eval()
        inputs = [torch.empty_like(each, device="meta") for each in networks.example(network).values()]
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        module(*inputs)
    expected = multiply_adds(network)
    width = PUBLISHED.width
    if network.kind == "decoder":
        # The reference projects the repeated states again for every answer.
        expected += PUBLISHED.decoder_layers * (SCORED_ANSWERS - 1) * 2 * QUESTION_TOKENS * width * width
    heads = {"image": 256 * width, "text": 256 * width, "fusion": network.batch * 2 * width}.get(network.kind, 0)
    assert counter.get_total_flops() == 2 * (expected + heads)


def test_sizes_are_the_defaults_of_the_reference() -> None:
    config = ModelConfig()
    names = {"width": "vision_width", "heads": "vision_heads"}
    for field in fields(PUBLISHED):
        assert getattr(PUBLISHED, field.name) == getattr(config, names.get(field.name, field.name))
    assert (config.text_width, config.text_heads) == (PUBLISHED.width, PUBLISHED.heads)
    assert PUBLISHED.image_tokens == config.image_tokens == 577


def test_an_unknown_network_is_refused() -> None:
    with pytest.raises(ValueError, match="no network 'sound'"):
        multiply_adds(Network("sound"))


def test_whole_question_answering_is_three_networks() -> None:
    vqa = part("vqa")
    assert [network.kind for network in vqa.networks] == ["image", "question", "decoder"]
    assert (vqa.networks[2].batch, vqa.networks[2].tokens) == (SCORED_ANSWERS, ANSWER_TOKENS)
    assert vqa.gmac == pytest.approx(sum(multiply_adds(network) for network in vqa.networks) / 1e9)
    assert set(vqa.peers) <= set(ENGINES)


def test_longer_answers_are_a_row_of_the_same_networks() -> None:
    usual, long = part("vqa"), part("vqa_long")
    assert long.networks == usual.networks and long.peers == usual.peers and long.stage == usual.stage
    assert (usual.long_answers, long.long_answers) == (False, True)
    assert usual.label == "whole VQA, 3,128 answers of 1.6 pieces"
    assert long.label == "whole VQA, 3,128 answers of one to six pieces"
    # A file each in the cache folder, whatever part they are of.
    assert len({network.name for network in NETWORKS}) == len(NETWORKS)


def fake_ours(tmp_path: Path) -> Ours:
    """Ours with a command that prints what it is called with as a stage, and packed models of an earlier version."""
    for name in COMMANDS:
        command = tmp_path / name
        command.write_text(
            f"#!{sys.executable}\nimport json, sys\n"
            "print(json.dumps({'stages': [{'called': sys.argv[1:]}], 'peak': {}, 'isa': 'scalar'}))\n"
        )
        command.chmod(0o755)
    cache = tmp_path / "cache"
    cache.mkdir()
    for task in TASKS:
        (cache / f"{task}.albef").touch()
    (cache / "answers.json").write_text('["of an earlier version"]')
    return Ours(Runtime(tmp_path), cache)


def test_lists_of_answers_are_given_whatever_the_cached_model_holds(tmp_path: Path) -> None:
    ours, cpus = fake_ours(tmp_path), processors(1, None)
    given = {}
    for name in ("vqa", "vqa_long"):
        called = ours.part(part(name), cpus, 1)["called"]
        given[name] = json.loads(Path(called[called.index("--answers") + 1]).read_text())
        assert called[called.index("--stages") + 1 :][:1] == ["vqa"]
    vocabulary = synthetic_vocabulary()
    assert given["vqa"] == made_up_answers(vocabulary, ANSWERS)
    assert given["vqa_long"] == made_up_answers(vocabulary, ANSWERS, lengths=LONG_LENGTHS)
    every = ours.bench("vqa", cpus, 1, [])["stages"][0]["called"]
    assert every[-2:] == ["--answers", str(ours.answers())] and "--stages" not in every
    assert "--answers" not in ours.part(part("image"), cpus, 1)["called"]


def test_lists_of_answers_are_written_once_by_a_process(tmp_path: Path) -> None:
    ours = fake_ours(tmp_path)
    first = ours.answers()
    first.unlink()
    assert ours.answers() == first and not first.exists()


def pieces_of(answers: list[str]) -> list[int]:
    """Pieces of each, without the tokens around them."""
    tokenizer = Tokenizer(synthetic_vocabulary())
    around = len(tokenizer.encode(""))
    return [len(tokenizer.encode(answer)) - around for answer in answers]


def test_made_up_answers_are_distinct_and_as_long_as_usual_ones() -> None:
    vocabulary = synthetic_vocabulary()
    answers = made_up_answers(vocabulary, 3128)
    assert len(set(answers)) == 3128
    assert answers == made_up_answers(vocabulary, 3128)
    assert answers[:100] != made_up_answers(vocabulary, 100, seed=2)
    assert len({answer.split()[0] for answer in answers}) > 2900, "few begin alike, by chance"
    pieces = pieces_of(answers)
    assert Counter(pieces[:100]) == {1: 58, 2: 27, 3: 13, 4: 2}
    assert 1.55 < sum(pieces) / len(pieces) < 1.65
    assert 10 <= pieces[:20].count(1) <= 13, "a short list is no shorter"


def test_long_made_up_answers_are_of_one_to_six_pieces() -> None:
    answers = made_up_answers(synthetic_vocabulary(), 600, lengths=LONG_LENGTHS)
    assert len(set(answers)) == 600
    assert Counter(pieces_of(answers)) == dict.fromkeys(range(1, 7), 100)


def test_more_made_up_answers_than_words_are_refused() -> None:
    with pytest.raises(ValueError, match="58 of one piece"):
        made_up_answers(["one", "two"], 100)


def test_long_answers_are_written_where_asked_for(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "albef.random_checkpoint"]
    variables = {**os.environ, "PYTHONPATH": str(ROOT / "tools")}
    file = tmp_path / "a.json"
    arguments = ["--write-answers", str(file), "--made-up-answers", "12", "--long-answers"]
    subprocess.run([*command, *arguments], check=True, env=variables)
    assert json.loads(file.read_text()) == made_up_answers(synthetic_vocabulary(), 12, lengths=LONG_LENGTHS)
    alone = subprocess.run([*command, "--write-answers", str(file), "--long-answers"], env=variables, capture_output=True)
    assert alone.returncode == 2 and b"--made-up-answers" in alone.stderr


def test_the_fastest_setting_is_taken_and_failures_are_passed_over() -> None:
    class Fake:
        def ask(self, **request: object) -> dict:
            setting = request["setting"]
            assert isinstance(setting, dict)
            if "bad" in setting:
                raise PeerError("no such setting")
            return {"seconds": [setting["t"], 9.0]}

    setting, seconds, tried = measure.tune(Fake(), "image", ({"t": 0.3}, {"bad": 1}, {"t": 0.2}))
    assert (setting, seconds) == ({"t": 0.2}, 0.2)
    assert tried == {"t=0.3": 300.0, "t=0.2": 200.0}
    with pytest.raises(PeerError, match="no such setting"):
        measure.tune(Fake(), "image", ({"bad": 1},))


@pytest.mark.parametrize(
    ("seconds", "expected"), [(2.0, (1, 0)), (0.12, (1, 0)), (0.06, (2, 1)), (0.024, (5, 1)), (0.001, (5, 1))]
)
def test_short_parts_run_several_times_a_turn(seconds: float, expected: tuple[int, int]) -> None:
    assert measure.turn_size(seconds) == expected


def test_figures_are_the_least_time_and_the_median_of_medians() -> None:
    figures = measure.Series([[0.3, 0.1, 0.2], [0.5], [0.4, 0.6]]).figures()
    assert figures["best_ms"] == pytest.approx(100)
    assert figures["median_ms"] == pytest.approx(500)


def test_threads_have_their_processors_and_variables() -> None:
    allowed = sorted(os.sched_getaffinity(0))
    assert processors(2, 7) == allowed
    assert processors(1, 7) == [7]
    assert processors(1, None) == allowed[:1]
    assert pinned(["x", 1], [0, 3]) == ["taskset", "-c", "0,3", "x", "1"]
    assert environment(3)["OMP_NUM_THREADS"] == "3"
    assert "ONEDNN_MAX_CPU_ISA" not in environment(1)
    capped = environment(1, "avx2")
    assert (capped["ONEDNN_MAX_CPU_ISA"], capped["ATEN_CPU_CAPABILITY"]) == ("AVX2", "avx2")


def test_a_process_is_timed_to_its_first_line() -> None:
    script = "import time; time.sleep(0.2); print('x', flush=True); time.sleep(0.3)"
    seconds = seconds_to_answer([sys.executable, "-c", script], dict(os.environ))
    assert 0.2 <= seconds
    with pytest.raises(PeerError, match="exit code 3"):
        seconds_to_answer([sys.executable, "-c", "raise SystemExit(3)"], dict(os.environ))
    assert peak_resident_bytes(os.getpid()) > 1 << 20


def test_instructions_are_told_apart_by_their_first_byte() -> None:
    assert [encoding(byte) for byte in (0x62, 0xC4, 0xC5, 0x0F, 0x48)] == ["evex", "vex", "vex", "other", "other"]
    assert Sampled(evex=4, vex=396, other=0).without_avx512
    assert not Sampled(evex=5, vex=395, other=0).without_avx512
    assert not Sampled(0, 0, 0).without_avx512


def test_settings_that_keep_from_avx512_are_told_by_a_sample() -> None:
    assert measure.keeps_clear({"samples": 400, "evex": 0, "vex": 1, "without_avx512": True})
    assert not measure.keeps_clear({"samples": 400, "evex": 9, "vex": 1, "without_avx512": False})
    assert not measure.keeps_clear({"error": "gone"}) and not measure.keeps_clear(None)


def test_a_process_can_be_sampled() -> None:
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as process:
        try:
            found = sample(process.pid, count=20, interval=0.001)
            assert process.poll() is None, "it goes on"
        finally:
            process.kill()
    assert found is None or found.count == 20


class Adder(Engine):
    """A runtime for tests."""

    def network(self, network: Network, setting: dict[str, str]):
        if "fail" in setting:
            raise ValueError("no\nsuch thing")
        self.primitives.add(network.kind)
        return lambda: 1

    def version(self) -> str:
        return "1.0"


def test_a_worker_answers_line_by_line_and_outlives_failures() -> None:
    requests = [
        {"do": "load", "part": "image", "setting": {}},
        {"do": "time", "part": "image", "setting": {}, "runs": 3, "warmups": 1},
        {"do": "load", "part": "image", "setting": {"fail": "yes"}},
        {"do": "spin", "part": "text_30", "setting": {}, "seconds": 0.01},
        {"do": "state"}, {"do": "forget", "except": {"part": "image", "setting": {}}}, {"do": "nothing"},
    ]  # fmt: skip
    answers = io.StringIO()
    worker = Worker(Adder(1, Path()))
    serve(worker, io.StringIO("".join(json.dumps(each) + "\n" for each in requests)), answers)
    lines = [json.loads(line) for line in answers.getvalue().splitlines()]
    assert lines[0] == {"ok": True}
    assert len(lines[1]["seconds"]) == 3
    assert lines[2] == {"error": "ValueError: no"}
    assert (lines[4]["version"], lines[4]["primitives"]) == ("1.0", ["image", "text"])
    assert lines[5] == {"ok": True} and list(worker.loaded) == [("image", "{}")]
    assert worker.answer({"do": "forget"}) == {"ok": True} and worker.loaded == {}
    assert "error" in lines[6]


def figures() -> dict:
    """Raw figures of two thread counts, with and without AVX-512."""

    def stages(*names: str) -> dict:
        times = {"min_ms": 1.0, "p50_ms": 2.0, "p90_ms": 3.0, "floor_ms": 0.5, "peak_share": 0.5}
        return {
            "isa": "avx2", "threads": 2, "runs": 7, "peak": {"int8_gmacs": 400.0, "read_gbytes": 20.0},
            "stages": [{"stage": name, "gmac": 0.0 if name == "prepare_image" else 1.25, **times} for name in names],
        }  # fmt: skip

    def comparison(isa: str, threads: int) -> dict:
        cell = {"best_ms": 175.0 / threads, "median_ms": 180.0, "setting": {"a": "b"}, "tried_ms": {"a=b": 175.0, "a=c": 190.0}}
        ours = {"best_ms": 100.0 / threads, "median_ms": 101.0, "peak_share": 0.876}
        return {
            "isa": isa, "threads": threads, "versions": {"torch_int8": "2.13"},
            "parts": {
                "image": {"openvino_int8": cell, "torch_int8": {**cell, "best_ms": 90.0}, "ours": ours},
                "text_30": {"openvino_int8": {"error": "none"}, "ours": {**ours, "best_ms": 3.25}},
            },
        }  # fmt: skip

    seen = {"samples": 400, "evex": 0, "vex": 300, "without_avx512": True}
    caught = {"samples": 400, "evex": 200, "vex": 0, "without_avx512": False}
    return {
        "format": 1, "runs": 7, "instructions": {"avx2": {"openvino_int8": {"a=b": seen}, "torch_int8": {"a=b": caught}}},
        "machine": {"processor": "Processor", "features": ["avx2"]},
        "comparisons": [comparison("best", 1), comparison("best", 2), comparison("avx2", 1), comparison("avx2", 2)],
        "memory": {"ours": 120_000_000, "weights": 88_000_000, "ort_int8": 301_000_000},
        "stages": {"retrieval": stages("prepare_image", "match"), "vqa": stages("prepare_image", "vqa")},
        "start": {"ours": {"best_ms": 35.0}, "openvino_int8": {"best_ms": 900.0}},
    }  # fmt: skip


def test_tables_show_times_and_the_best_int8_runtime_as_a_multiple_of_ours() -> None:
    text = report.peers_block(figures())
    lines = text.splitlines()
    row = next(line for line in lines if line.startswith("| image encoder"))
    # Two threads stand first.
    assert row == "| image encoder | 55.5 | – | 90.0 ms | – | 87.5 ms | 50.0 ms | 1.75 × | 88 % |"
    assert "| text encoder, 30 tokens | 1.28 | – | – | – | – | 3.2 ms |  | 88 % |" in lines
    assert text.index("2 threads:") < text.index("One thread:")
    assert "301 MB" in text and "120 MB" in text and "88 MB of int8 weights" in text
    assert "| process start to first text embedding, warm page cache | – | – | – | 900 ms | 35.0 ms |" in lines


def test_a_runtime_seen_with_avx512_is_no_peer_without_it() -> None:
    everything = figures()
    assert report.accepted(everything, "openvino_int8")
    assert not report.accepted(everything, "torch_int8")
    assert not report.accepted(everything, "ort_int8")
    text = report.avx2_block(everything)
    assert "| work | GMAC | OpenVINO int8 | albef |" in text
    assert "50.0 %" in text
    assert report.instructions(None)[-1].startswith("unknown")
    assert report.instructions({"error": "gone"})[-1] == "gone"


def test_stages_of_both_models_stand_in_one_table_once() -> None:
    lines = report.stages_block(figures()).splitlines()
    assert lines[0] == "avx2, 2 threads, 7 runs: int8 peak 400 GMAC/s, reading memory 20.0 GB/s."
    assert lines[4:] == [
        "| `prepare_image` |  | 1.00 | 2.00 | 3.00 |  |  |", "| `match` | 1.25 | 1.00 | 2.00 | 3.00 | 0.50 | 50 % |",
        "| `vqa` | 1.25 | 1.00 | 2.00 | 3.00 | 0.50 | 50 % |",
    ]  # fmt: skip
    names = [line.split(":")[0] for line in report.everything(figures()).splitlines() if line.endswith(":")]
    assert set(report.BLOCKS) <= set(names)


def test_documents_get_the_blocks_whose_markers_they_have(tmp_path: Path) -> None:
    raw, document = tmp_path / "peers.json", tmp_path / "doc.md"
    raw.write_text(json.dumps(figures()))
    document.write_text("before\n<!-- peers-settings -->\nold\n<!-- /peers-settings -->\nafter\n")
    assert main(["--from-json", str(raw), "--write", str(document)]) == 0
    text = document.read_text()
    assert text.startswith("before\n<!-- peers-settings -->\ntorch int8 2.13.") and text.endswith("after\n")
    assert "a=b: 175.0; a=c: 190.0" in text and "old" not in text
    document.write_text("no markers\n")
    with pytest.raises(TableError, match="needs one of"):
        report.write(document, figures())
    assert main(["--from-json", str(tmp_path / "none.json")]) == 1
