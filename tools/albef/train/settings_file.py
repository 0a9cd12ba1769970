"""Configuration files as plain values: JSON, or YAML where the name ends in .yaml or .yml."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml


class SettingsError(ValueError):
    """A configuration that cannot be used; one line that names the file and the key."""


class _Loader(yaml.SafeLoader):
    """YAML 1.1 as PyYAML reads it, but 1e-5 is a number, as in YAML 1.2, and a key that comes twice is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        _once([(self.construct_object(key, deep=True), None) for key, _ in node.value])
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {  # a copy: the base class's table is shared
    first: list(rules) for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)[eE][-+]?[0-9]+$"), list("-+.0123456789")
)


def _once(pairs: list[tuple[Any, Any]]) -> dict:
    keys = [key for key, _ in pairs]
    for key in keys:
        if keys.count(key) > 1:
            raise ValueError(f"key {key!r} comes twice")
    return dict(pairs)


def read_values(file: str | Path) -> dict[str, Any]:
    """The object that a configuration file holds."""
    try:
        text = Path(file).read_text(encoding="utf-8")
        if str(file).endswith((".yaml", ".yml")):
            values = yaml.load(text, _Loader)
        else:
            values = json.loads(text, object_pairs_hook=_once)
    except OSError as error:
        raise SettingsError(f"{file}: cannot be read: {error.strerror}") from error
    except (ValueError, yaml.YAMLError) as error:
        raise SettingsError(f"{file}: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise SettingsError(f"{file}: found {type(values).__name__}, expected an object with keys")
    return values
