"""YAML as sigs.k8s.io/yaml writes it: keys in order, texts quoted where YAML 1.1 would read something else, lines never folded."""

from __future__ import annotations

import re
import sys
from typing import Any

import yaml

_OLD_BOOLEANS = frozenset("y Y yes Yes YES on On ON n N no No NO off Off OFF".split())
_TEXT = "tag:yaml.org,2002:str"


class _Dumper(yaml.CSafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def _represent(dumper: Any, text: str) -> yaml.ScalarNode:
    style = None
    if "\n" in text:
        style = "|"
    elif text in _OLD_BOOLEANS or dumper.resolve(yaml.ScalarNode, text, (True, False)) != _TEXT:
        style = '"'
    node: yaml.ScalarNode = dumper.represent_scalar(_TEXT, text, style=style)
    return node


_Dumper.add_representer(str, _represent)
_NUMBER = re.compile(r"^[-+]?(?:(?:\.[0-9]+|[0-9][0-9_]*(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|0o[0-7_]+)$")
_Dumper.add_implicit_resolver("tag:yaml.org,2002:float", _NUMBER, list("-+.0123456789"))


def dump(value: Any) -> bytes:
    text: bytes = yaml.dump(
        value, Dumper=_Dumper, sort_keys=True, allow_unicode=True, width=sys.maxsize >> 32, encoding="utf-8"
    )
    return text
