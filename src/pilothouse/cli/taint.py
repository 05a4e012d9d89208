"""`pilothouse taint`"""

from __future__ import annotations

import re

from ..api.names import label_value, qualified_name
from ..api.object import Object
from .change import Change
from .errors import Failure, Failures
from .targets import Finder
from .verb import SELECTOR, WRITE, Call, flag, text, verb

EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
Taint = tuple[str, str, str]
"""(key, value, effect)"""


@verb(
    "taint",
    *SELECTOR,
    *WRITE,
    flag("--all", help="All nodes."),
    flag("--overwrite", help="Also taints that are there."),
    text("--validate", default="strict", bare="strict"),
    help="Update the taints on nodes: `taint node NAME key=value:NoSchedule`, `taint node NAME key-`.",
)
async def command(call: Call) -> None:
    options = call.options
    first = next(
        (i for i, word in enumerate(call.words) if i and re.search(r"[=:]|-$", word)), len(call.words)
    )
    words, changes = call.words[:first], call.words[first:]
    if not words:
        raise Failure("one or more resources must be specified as <resource> <name>")
    if not changes:
        raise Failure("at least one taint update is required")
    try:
        added, removed = _parse(changes)
    except Failure as error:
        raise call.usage(error.message)
    both = [
        f"{key}={effect}"
        for key, _, effect in removed
        if any(key == k and effect in ("", e) for k, _, e in added)
    ]
    if both:
        raise Failure(
            f"can not both modify and remove the following taint(s) in the same command: {', '.join(both)}"
        )
    finder, change = Finder(call), Change(call, "kubectl-taint")
    found = await finder.run(words)
    finder.end()
    for info in found:
        if info.kind.kind != "Node":
            raise Failure(f"invalid resource type {words[0]}, only node types are supported")
        have: list[Object] = info.obj["spec"].get("taints") or []
        taken = [
            key for key, _, effect in added if any(t["key"] == key and t["effect"] == effect for t in have)
        ]
        if taken and not options.overwrite:
            listed = ",".join(taken)
            raise Failure(
                f"node {info.name} already has {listed} taint(s) with same effect(s) and --overwrite is false"
            )
        missing: list[Exception] = [
            Failure(f'taint "{key}{":" + effect if effect else ""}" not found')
            for key, _, effect in removed
            if not any(t["key"] == key and effect in ("", t["effect"]) for t in have)
        ]
        if missing:
            raise Failures(missing)
        after = _changed(have, added, removed)
        obj = await change.patch(info, {"spec": {"taints": after or None}}, "merge")
        done = "modified" if taken or (added and removed) else "tainted" if added else "untainted"
        change.say(info.shown, obj, done, note=False)


def _parse(words: list[str]) -> tuple[list[Taint], list[Taint]]:
    added: list[Taint] = []
    removed: list[Taint] = []
    for word in words:
        if word.endswith("-"):
            key, _, effect = word[:-1].partition(":")
            key = key.partition("=")[0]
            if effect and effect not in EFFECTS:
                raise Failure(f"invalid taint effect: {effect}, unsupported taint effect")
            removed.append((key, "", effect))
            continue
        match = re.fullmatch(r"([^=:]+)(?:=([^:=]*))?:([^:=]*)", word)
        if match is None:
            why = "".join(f", {problem}" for problem in qualified_name(word)[:1])
            raise Failure(f"invalid taint spec: {word}{why}")
        key, value, effect = match[1], match[2] or "", match[3]
        for problem in [*qualified_name(key), *label_value(value)][:1]:
            raise Failure(f"invalid taint spec: {word}, {problem}")
        if effect not in EFFECTS:
            raise Failure(f"invalid taint effect: {effect}, unsupported taint effect")
        if any(each[0] == key and each[2] == effect for each in added):
            raise Failure(f"duplicated taints with the same key and effect: {{{key} {value} {effect} <nil>}}")
        added.append((key, value, effect))
    return added, removed


def _changed(have: list[Object], added: list[Taint], removed: list[Taint]) -> list[Object]:
    made: list[Object] = [
        {"key": key, **({"value": value} if value else {}), "effect": effect} for key, value, effect in added
    ]
    new = {(key, effect) for key, _, effect in added}
    for taint in have:
        gone = any(taint["key"] == key and effect in ("", taint["effect"]) for key, _, effect in removed)
        if not gone and (taint["key"], taint["effect"]) not in new:
            made.append(taint)
    return made
