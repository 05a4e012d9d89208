"""YAML as sigs.k8s.io/yaml writes it: keys in its order, texts quoted where YAML 1.1 would read something else, long lines folded."""

from __future__ import annotations

import re
from typing import Any

import yaml

RESOLVES = re.compile(  # what YAML 1.1 would read as something else than text (go-yaml quotes these with ")
    r"""|~|null|Null|NULL|[yYnN]|yes|Yes|YES|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF
    |[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?(\.inf|\.Inf|\.INF)|\.nan|\.NaN|\.NAN
    |0b[01_]+|0o?[0-7_]+|0x[0-9a-fA-F_]+|[-+]?[0-9][0-9_]*|[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?
    |[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([Tt\ ].*)?""".replace("\n", "").replace("    ", "")
)


class _Dumper(yaml.CSafeDumper):
    # = and << are written as they are
    yaml_implicit_resolvers = {
        first: resolvers
        for first, resolvers in yaml.CSafeDumper.yaml_implicit_resolvers.items()
        if first not in "=<"
    }

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: Any, value: str) -> Any:
    style = "|" if "\n" in value else '"' if RESOLVES.fullmatch(value) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)


def dump(value: Any) -> str:
    shown = yaml.dump(
        _sorted(value),
        Dumper=_Dumper,
        sort_keys=False,
        default_flow_style=False,
        width=80,
        allow_unicode=True,
    )
    return str(shown).removesuffix("...\n")  # libyaml's, after a text that ends with several line ends


def _sorted(value: Any) -> Any:
    """go-yaml's order of keys: numbers within them by their size, and letters after everything else."""
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value, key=_natural)}
    return [_sorted(item) for item in value] if isinstance(value, list) else value


def _natural(key: str) -> list[tuple[int, ...]]:
    return [
        (1, ord(part))
        if part.isalpha()
        else (0, int(part) if part.isdigit() else 0, part.isdigit() * len(part), ord(part[0]))
        for part in re.findall(r"[0-9]+|.", key, re.DOTALL)
    ]
