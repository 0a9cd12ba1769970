"""Dataset files as people have them: JSON lists whose records are checked before anything is trained.

A wrong record stops the reading, in one line that names the file, the record (counted from 0), the field, what was found and
what was expected. Fields that no task here needs are left alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class DatasetError(ValueError):
    """A dataset file or folder that cannot be used; one line."""


@dataclass(frozen=True)
class Field:
    """A field of a record: which values it may have, and those in words. An optional field may be absent, not null."""

    name: str
    is_right: Callable[[Any], bool]
    expected: str
    optional: bool = False


def is_text(value: Any) -> bool:
    """A string with something in it."""
    return isinstance(value, str) and bool(value.strip())


def are_texts(value: Any) -> bool:
    """At least one string, each with something in it."""
    return isinstance(value, list) and bool(value) and all(map(is_text, value))


def is_number(value: Any) -> bool:
    """A whole number; true and false are none."""
    return isinstance(value, int) and not isinstance(value, bool)


IMAGE = Field("image", is_text, "the path of a picture")
CAPTION = Field("caption", lambda value: is_text(value) or are_texts(value), "a text or a list of texts")
EXPRESSION = Field("text", is_text, "a text")
QUESTION = Field("question", is_text, "a text")
QUESTION_ID = Field("question_id", is_number, "a whole number")
ANSWER = Field("answer", lambda value: isinstance(value, str) or _are_strings(value), "a text or a list of texts")
SENTENCE = Field("sentence", is_text, "a text")
PICTURE_PAIR = Field("images", lambda value: are_texts(value) and len(value) == 2, "the paths of two pictures")
BOX = Field("bbox", lambda value: _are_numbers(value) and len(value) == 4, "x, y, width and height")
KIND = Field("kind", lambda value: isinstance(value, str), "a text", optional=True)


def _are_strings(value: Any) -> bool:
    """As `are_texts`, but an answer may be empty: VQA's lists hold such."""
    return isinstance(value, list) and bool(value) and all(isinstance(item, str) for item in value)


def _are_numbers(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, int | float) and not isinstance(item, bool) for item in value)


def one_of(name: str, values: Iterable[str], optional: bool = False) -> Field:
    """A field with one of these values."""
    values = tuple(values)
    return Field(name, lambda value: value in values, f"one of {', '.join(map(json.dumps, values))}", optional)


RETRIEVAL_RECORD = (IMAGE, CAPTION)
GROUNDING_RECORD = (IMAGE, EXPRESSION, BOX)
QUESTION_RECORD = (IMAGE, QUESTION, QUESTION_ID, ANSWER, KIND)
ENTAILMENT_RECORD = (IMAGE, SENTENCE, one_of("label", ("contradiction", "neutral", "entailment")), KIND)
NLVR_RECORD = (PICTURE_PAIR, SENTENCE, Field("label", is_text, 'a text: "True", or another that means false'), KIND)


def read_json(path: str | Path) -> Any:
    """The value that a JSON file holds."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise DatasetError(f"{path}: line {error.lineno}, column {error.colno}: {error.msg}") from error
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path}: byte {error.start} is not UTF-8") from error


def read_records(path: str | Path, fields: Callable[[dict], Iterable[Field]] | Iterable[Field]) -> list[dict]:
    """All records of a file, each with the right fields; `fields` may depend on the record."""
    records = read_json(path)
    if not isinstance(records, list):
        raise DatasetError(f"{path}: found {shown(records)}, expected a list of records")
    if not records:
        raise DatasetError(f"{path}: found an empty list, expected at least one record")
    choose = fields if callable(fields) else _always(tuple(fields))
    wrong: list[str] = []
    for number, record in enumerate(records):
        if reason := _wrong(record, choose):
            wrong.append(f"{path}: record {number}: {reason}")
    if wrong:
        more = f" ({len(wrong) - 1} more of {len(records)} records are wrong)" if len(wrong) > 1 else ""
        raise DatasetError(wrong[0] + more)
    return records


def _always(fields: tuple[Field, ...]) -> Callable[[dict], tuple[Field, ...]]:
    return lambda _: fields


def _wrong(record: Any, choose: Callable[[dict], Iterable[Field]]) -> str | None:
    """Why a record cannot be used, None if it can."""
    if not isinstance(record, dict):
        return f"found {shown(record)}, expected an object"
    for field in choose(record):
        if field.name not in record:
            if not field.optional:
                return f"field {field.name!r}: found nothing, expected {field.expected}"
        elif not field.is_right(record[field.name]):
            return f"field {field.name!r}: found {shown(record[field.name])}, expected {field.expected}"
    return None


def shown(value: Any, most: int = 60) -> str:
    """A value as JSON, cut to a readable length."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= most else text[: most - 1] + "…"
