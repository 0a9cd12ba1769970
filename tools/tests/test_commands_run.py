"""The contract of ``run``: JSON requests, one a line; needs what ``test_commands.py`` needs."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
from pathlib import Path

import pytest
from test_commands import BINARIES, PICTURE, answer, infer, model, pytestmark, refused

__all__ = ["pytestmark"]


def start(name: str, *options: object, **streams: object) -> subprocess.Popen:
    command = [str(Path(BINARIES or "") / "albef-infer"), "run", "-m", str(model(name)), *map(str, options)]
    defaults = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, **(defaults | streams))


def talk(name: str, lines: list[object], *options: object) -> list[dict]:
    """Sends requests (objects, or lines as they are) and gives the answers of a run that ends well."""
    content = b"".join(line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n" for line in lines)
    process = start(name, *options)
    out, err = process.communicate(content, timeout=300)
    assert process.returncode == 0, err
    return [json.loads(line) for line in out.splitlines()]


def test_a_request_has_the_answer_of_the_command(tmp_path: Path) -> None:
    captions = tmp_path / "captions.txt"
    captions.write_text("a red circle\na blue star\n")
    image = str(PICTURE)
    requests = [
        ("match", {"image": image, "text": "a red circle"}),
        ("embed", {"text": ["a red circle", "-a blue star"]}),
        ("embed", {"image": image}),
        ("search", {"images": str(PICTURE.parent), "text": "a red circle", "top": 3, "rerank": 2}),
        ("search", {"images": str(PICTURE.parent), "image": image, "top": 2}),
        ("search", {"texts": str(captions), "image": image}),
        ("ground", {"image": image, "text": "the red circle", "per-word": True, "layer": None}),
        ("fill-mask", {"image": image, "text": "a [MASK] circle", "top": 2}),
    ]
    answers = talk("pretrain", [{"id": place, "command": command} | options for place, (command, options) in
                                enumerate(requests)])  # fmt: skip
    assert len(answers) == len(requests)
    for place, (command, options) in enumerate(requests):
        arguments: list[object] = []
        for key, value in options.items():
            for one in value if isinstance(value, list) else [value]:
                arguments += [] if one is None else [f"--{key}"] if one is True else [f"--{key}={one}"]
        assert answers[place] == {"id": place} | answer(command, "-m", model("pretrain"), *arguments)


def test_questions_on_one_picture_and_others_in_between() -> None:
    others = sorted(PICTURE.parent.glob("*.jpg"))[:3]
    questions = ["what color is the circle?", "how many objects are there?"]
    requests = [
        {"id": f"{picture.name} {question}", "command": "vqa", "image": str(picture), "question": question, "top": 2}
        for question in questions
        for picture in [*others, others[0], others[0]]
    ]
    for request, got in zip(requests, talk("vqa", requests), strict=True):
        alone = answer("vqa", "-m", model("vqa"), "--image", request["image"], "--question", request["question"], "--top", 2)
        assert got == {"id": request["id"]} | alone


def test_a_picture_that_changes_under_its_name_is_read_again(tmp_path: Path) -> None:
    first, second = sorted(PICTURE.parent.glob("*.jpg"))[:2]
    file = tmp_path / "p.jpg"
    process = start("retrieval")
    got = []
    for source in (first, second, first):
        shutil.copyfile(source, file)
        process.stdin.write(json.dumps({"command": "match", "image": str(file), "text": "a red circle"}).encode() + b"\n")
        process.stdin.flush()
        got.append(json.loads(process.stdout.readline()))
    process.stdin.close()
    assert process.wait(60) == 0
    expected = [answer("match", "-m", model("retrieval"), "--image", p, "--text", "a red circle") for p in (first, second)]
    assert [{key: value for key, value in line.items() if key != "id"} for line in got] == [*expected, expected[0]]


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        (b"nonsense\n", 65, ["JSON"]),
        (b'{"id": 7, "command": "match"\n', 65, ["JSON"]),
        (b'{"id": 7, "command": "m\xff"}\n', 65, ["JSON"]),
        (b'{"id": 7, "id": 8}\n', 65, ["JSON"]),
        (b"[" * 100_000 + b"\n", 65, ["JSON"]),
        (b"[1]\n", 65, ["object"]),
        ({"id": 1.5, "command": "match"}, 64, ["id"]),
        ({"id": {"a": 1}, "command": "match"}, 64, ["id"]),
        ({"command": 3}, 64, ["command", "match", "fill-mask"]),
        ({}, 64, ["command"]),
        ({"command": "info"}, 64, ["info"]),
        ({"command": "match", "image": "x"}, 64, ["--text"]),
        ({"command": "match", "image": "x", "text": "a", "speed": 3}, 64, ["speed"]),
        ({"command": "match", "image": "x", "text": "a", "": 3}, 64, ["option"]),
        ({"command": "match", "image": "x", "text": "a", "text=b": True}, 64, ["option"]),
        ({"command": "match", "image": "x", "text": "a", "model": "m"}, 64, ["model"]),
        ({"command": "match", "image": "x", "text": "a", "isa": "scalar"}, 64, ["isa"]),
        ({"command": "match", "image": "x", "text": "a", "help": True}, 64, []),
        ({"command": "match", "image": ["x"], "text": "a"}, 64, ["image"]),
        ({"command": "match", "image": "x", "text": {"a": 1}}, 64, ["text"]),
        ({"command": "match", "image": "x", "text": True}, 64, ["text"]),
        ({"command": "match", "image": str(PICTURE), "text": "?!"}, 65, ["empty"]),
        ({"command": "match", "image": "no-such.jpg", "text": "a"}, 66, ["no-such.jpg"]),
        ({"command": "match", "image": "", "text": "a"}, 66, []),
        ({"command": "match", "image": "a\0b", "text": "a"}, 66, []),
        ({"command": "match", "image": __file__, "text": "a"}, 65, [Path(__file__).name]),
        ({"command": "vqa", "image": str(PICTURE), "question": "a"}, 65, ["text_decoder"]),
        ({"command": "ground", "image": str(PICTURE), "text": "a", "layer": 99}, 64, ["99"]),
        ({"command": "ground", "image": str(PICTURE), "text": "a", "layer": -1}, 64, ["-1"]),
        ({"command": "search", "images": str(PICTURE.parent), "text": "a", "top": 0}, 64, ["top"]),
        ({"command": "search", "images": "no-folder", "text": "a"}, 66, ["no-folder"]),
        ({"command": "fill-mask", "image": str(PICTURE), "text": "a dog"}, 64, ["[MASK]"]),
        ({"command": "embed", "text": "a", "output": "/no-such-folder/x.npy"}, 74, ["no-such-folder"]),
    ],
)
def test_a_wrong_request_is_answered_in_line_and_the_next_one_as_ever(line: object, code: int, words: list[str]) -> None:
    good = {"id": "good", "command": "embed", "text": "a red circle"}
    if isinstance(line, dict):
        line = {"id": line.get("id", 5)} | line
    wrong, right = talk("pretrain", [line, good])
    assert list(wrong) == ["id", "error"] and list(wrong["error"]) == ["message", "code"]
    assert wrong["id"] == (5 if isinstance(line, dict) and line["id"] == 5 else None)
    assert wrong["error"]["code"] == code, wrong
    for word in words:
        assert word in wrong["error"]["message"], wrong
    assert "\n" not in wrong["error"]["message"]
    assert right["id"] == "good" and "features" in right


def test_random_damage_to_requests_never_ends_the_process() -> None:
    seed = 20
    chance = random.Random(seed)
    whole = [
        {"id": 1, "command": "embed", "text": ["a red circle", "a blue star"]},
        {"id": "b", "command": "match", "image": str(PICTURE), "text": "a red circle", "max-pixels": 1_000_000},
        {"id": None, "command": "fill-mask", "image": str(PICTURE), "text": "a [MASK]", "top": 3},
    ]
    lines = []
    for number in range(300):
        line = bytearray(json.dumps(whole[number % 3]).encode())
        for _ in range(chance.randint(0, 4)):
            place = chance.randrange(len(line))
            match chance.randrange(3):
                case 0:
                    line[place] = chance.choice(b'{}[]",:\\-0e\x00\xff\x80at=')
                case 1:
                    del line[place : place + chance.randint(1, 9)]
                case _:
                    line[place:place] = bytes(line[chance.randrange(len(line)) :])[:20]
        lines.append(bytes(line).replace(b"\n", b" ") + b"\n")
    got = talk("pretrain", lines, "--quiet")
    assert len(got) == sum(1 for line in lines if line.strip(b" \t\r\n")), f"seed {seed}"
    assert all(line["error"]["code"] in (64, 65, 66, 74) for line in got if "error" in line), f"seed {seed}"
    assert sum("error" not in line for line in got) >= 20, f"seed {seed}"


def test_a_line_above_the_limit_is_answered_and_skipped() -> None:
    def request(size: int) -> bytes:
        empty = json.dumps({"id": 1, "command": "embed", "text": ""})
        return json.dumps({"id": 1, "command": "embed", "text": "red " * ((size - len(empty)) // 4)}).encode()

    limit = 1 << 20
    fits = request(limit).replace(b'"id"', b" " * (limit - len(request(limit))) + b'"id"')
    assert len(fits) == limit
    got = talk("retrieval", [fits + b"\n", b" " + fits + b"\n", b"x" * (5 * limit) + b"\n", fits], "--quiet")
    assert ["features" in line for line in got] == [True, False, False, True]
    assert all(line["id"] is None and line["error"]["code"] == 65 for line in got[1:3])


def test_blank_lines_are_no_requests_and_the_last_line_needs_no_end() -> None:
    request = json.dumps({"id": "é", "command": "embed", "text": "a"}).encode()
    assert [line["id"] for line in talk("retrieval", [b"\n \t\r\n", request + b"\r\n", b"\n", request])] == ["é", "é"]
    assert talk("retrieval", []) == []


def test_each_answer_comes_before_the_next_request() -> None:
    process = start("retrieval")
    for number in range(3):
        process.stdin.write(json.dumps({"id": number, "command": "embed", "text": "a"}).encode() + b"\n")
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["id"] == number
    process.stdin.close()
    assert process.wait(60) == 0


def test_an_unreadable_picture_of_a_search_is_skipped_with_a_line(tmp_path: Path) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"not a picture")
    shutil.copyfile(PICTURE, tmp_path / "good.jpg")
    process = start("retrieval")
    request = {"id": 1, "command": "search", "images": str(tmp_path), "text": "a red circle"}
    out, err = process.communicate(json.dumps(request).encode(), timeout=60)
    assert len(json.loads(out)["results"]) == 1
    assert b"bad.jpg" in err and len(err.splitlines()) == 1


def test_when_nobody_reads_the_process_ends_with_74() -> None:
    process = start("retrieval")
    process.stdout.close()
    request = json.dumps({"id": 1, "command": "embed", "text": "a"}).encode() + b"\n"
    _, err = process.communicate(request * 3, timeout=60)
    assert process.returncode == 74
    assert err.startswith(b"albef-infer: standard output") and len(err.splitlines()) == 1


def test_a_full_disk_ends_the_process_with_74() -> None:
    with open("/dev/full", "wb") as full:
        process = start("retrieval", stdout=full)
        _, err = process.communicate(json.dumps({"id": 1, "command": "embed", "text": "a"}).encode(), timeout=60)
    assert process.returncode == 74 and len(err.splitlines()) == 1


def test_a_model_that_cannot_be_opened_ends_the_process_before_any_request(tmp_path: Path) -> None:
    refused(infer("run", "-m", tmp_path / "no.albef"), 66, "no.albef")


def test_a_searched_folder_is_encoded_once_and_what_changed_again(tmp_path: Path) -> None:
    sources = sorted(PICTURE.parent.glob("*.jpg"))[:5]
    # As long as each other: a JPEG file may have anything behind its end.
    size = max(source.stat().st_size for source in sources)
    contents = [source.read_bytes().ljust(size, b"\0") for source in sources]
    files = [tmp_path / f"{number}.jpg" for number in range(3)]
    for file, content in zip(files, contents, strict=False):
        file.write_bytes(content)
    requests = [
        {"command": "search", "images": str(tmp_path), "text": "a red circle", "rerank": rerank} for rerank in (0, 2, 3)
    ] + [{"command": "search", "images": str(tmp_path), "image": str(PICTURE)}]
    process = start("retrieval")

    def ask() -> list[dict]:
        got = []
        for request in requests:
            process.stdin.write(json.dumps(request).encode() + b"\n")
            process.stdin.flush()
            got.append(json.loads(process.stdout.readline()))
        return got

    def alone() -> list[dict]:
        return [{"id": None} | answer("search", "-m", model("retrieval"), *(
            f"--{key}={value}" for key, value in request.items() if key != "command"
        )) for request in requests]  # fmt: skip

    first = ask()
    assert first == alone() and ask() == first
    # Other content under a new time of change, and a file less.
    files[0].write_bytes(contents[3])
    files[1].unlink()
    second = ask()
    assert second == alone() and second != first
    # Other content, but the size and time that were seen: the file counts as the same.
    stamp = files[0].stat()
    files[0].write_bytes(contents[4])
    os.utime(files[0], ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert ask() == second != alone()
    # A smaller limit of pixels refuses a picture that was read before.
    process.stdin.write(json.dumps(requests[0] | {"max-pixels": 9}).encode() + b"\n")
    process.stdin.flush()
    assert json.loads(process.stdout.readline())["results"] == []
    process.stdin.close()
    assert process.wait(timeout=60) == 0
