"""Topology-aware hints (`service.kubernetes.io/topology-mode: Auto`): which zone each endpoint should serve, so that a
zone's share of a Service's endpoints follows its share of the nodes' CPU. All pure.

Slices that stay as they are keep their hints while these are still right; the endpoints of the others first serve their own
zone, then some are given to zones that have too few.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from ..api.object import Object, annotations_of, condition_of, get, labels_of
from ..api.quantity import Quantity

_HINTS, _MODE = "service.kubernetes.io/topology-aware-hints", "service.kubernetes.io/topology-mode"
_ZONE = "topology.kubernetes.io/zone"
_NOT_COUNTED = ("node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master")
_OVERLOAD_MAX = 0.2  # by so much more may an endpoint get than with traffic spread over all

Slice = tuple[Object | None, list[Object]]  # as it is, if it is; what its endpoints shall be


class NoHints(Exception):
    """Hints would do harm; the text is the event's."""


@dataclass(frozen=True, slots=True)
class _Share:
    least: int
    most: int
    wanted: float


def wants_topology(service: Object) -> bool:
    annotations = annotations_of(service)
    return annotations.get(_HINTS, annotations.get(_MODE)) in ("Auto", "auto")


def add_hints(slices: list[Slice], nodes: Iterable[Object]) -> None:
    """To the endpoints of `slices`; raises NoHints, then they have none."""
    all_of_them = [endpoint for _, endpoints in slices for endpoint in endpoints]
    try:
        shares = _shares(_cpu_by_zone(nodes), sum(map(_is_ready, all_of_them)))
        _assign(slices, shares)
    except NoHints:
        for endpoint in all_of_them:
            endpoint.pop("hints", None)
        raise


def _cpu_by_zone(nodes: Iterable[Object]) -> Counter[str]:
    found: Counter[str] = Counter()
    for node in nodes:
        labels = labels_of(node)
        if any(label in labels for label in _NOT_COUNTED):
            continue
        if (condition_of(node, "Ready") or {}).get("status") != "True":
            continue
        cpu, zone = Quantity.of(get(node, "status.allocatable.cpu", "0")).milli_value(), labels.get(_ZONE)
        if not zone or not cpu:
            found.clear()
            break
        found[zone] += cpu
    if len(found) < 2:
        what = "allocatable CPU or zone not specified on one or more nodes"
        raise NoHints(f"Insufficient Node information: {what}")
    return found


def _shares(cpu_by_zone: Counter[str], count: int) -> dict[str, _Share]:
    of = f"({count} endpoints, {len(cpu_by_zone)} zones)"
    if len(cpu_by_zone) > count:
        raise NoHints(f"Insufficient number of endpoints {of}")
    total = cpu_by_zone.total()
    wanted = {zone: cpu / total * count for zone, cpu in cpu_by_zone.items()}
    least = {zone: math.ceil(share / (1 + _OVERLOAD_MAX)) for zone, share in wanted.items()}
    spare = count - sum(least.values())
    if spare < 0:
        what = "allocate minimum required endpoints to each zone without exceeding overload threshold"
        raise NoHints(f"Unable to {what} {of}")
    return {zone: _Share(n, n + spare, max(wanted[zone], float(n))) for zone, n in least.items()}


def _assign(slices: list[Slice], shares: dict[str, _Share]) -> None:
    have: Counter[str] = Counter()
    open_ones: list[Object] = []
    for old, endpoints in slices:
        kept = _kept(old, endpoints, have, shares)
        if kept is None:
            open_ones += filter(_is_ready, endpoints)
            continue
        have.update(kept)
        for endpoint, before in zip(endpoints, (old or {}).get("endpoints") or (), strict=True):
            if "hints" in before:
                endpoint["hints"] = before["hints"]
    for endpoint in open_ones:
        if not endpoint.get("zone"):
            raise NoHints("One or more endpoints do not have a zone specified")
        have[endpoint["zone"]] += 1
        endpoint["hints"] = _for_zone(endpoint["zone"])
    giving, receiving = _moves(shares, have)
    for endpoint in open_ones:
        to = next((zone for zone, count in sorted(receiving.items()) if count), None)
        if to is not None and giving[endpoint["zone"]] > 0:
            giving[endpoint["zone"]] -= 1
            receiving[to] -= 1
            endpoint["hints"] = _for_zone(to)
    if not have:
        raise NoHints("No hints allocated for zones")


def _kept(
    old: Object | None, endpoints: list[Object], have: Counter[str], shares: dict[str, _Share]
) -> Counter[str] | None:
    """The zones that an unchanged slice serves; None if it has to be looked at anew."""
    before = (old or {}).get("endpoints") or []
    if old is None or [{k: v for k, v in e.items() if k != "hints"} for e in before] != endpoints:
        return None
    zones: Counter[str] = Counter()
    for endpoint in filter(_is_ready, before):
        hinted = [zone["name"] for zone in get(endpoint, "hints.forZones", [])]
        if not hinted or any(zone not in shares for zone in hinted):
            return None
        zones.update(hinted)
    return None if any(n + have[zone] > shares[zone].most for zone, n in zones.items()) else zones


def _moves(shares: dict[str, _Share], have: Counter[str]) -> tuple[Counter[str], Counter[str]]:
    """How many endpoints each zone gives to others, and how many it gets: whole ones, where it is worth it."""
    over = {zone: have[zone] - share.wanted for zone, share in shares.items() if have[zone] > share.wanted}
    under = {zone: share.wanted - have[zone] for zone, share in shares.items() if have[zone] < share.wanted}
    giving: Counter[str] = Counter()
    receiving: Counter[str] = Counter()
    while over and under:
        giver, taker = max(sorted(over), key=over.__getitem__), max(sorted(under), key=under.__getitem__)
        to_give, to_take = over[giver], under[taker]
        if (to_give < 1 and to_take < 1) or to_give < 0.5 or to_take < 0.5:
            break
        giving[giver] += 1
        receiving[taker] += 1
        over[giver] -= 1
        under[taker] -= 1
    return giving, receiving


def _is_ready(endpoint: Object) -> bool:
    return bool(get(endpoint, "conditions.ready", False))


def _for_zone(zone: str) -> Object:
    return {"forZones": [{"name": zone}]}
