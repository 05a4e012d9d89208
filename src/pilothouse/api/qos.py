"""What a pod asks of a node, and its quality of service class (component-helpers/resource)."""

from __future__ import annotations

from fractions import Fraction

from .object import Object
from .quantity import Quantity, QuantityError

_POD_LEVEL = ("cpu", "memory")


def _sum(totals: dict[str, Quantity], more: dict[str, Quantity]) -> None:
    for name, value in more.items():
        totals[name] = totals[name] + value if name in totals else value


def _max(totals: dict[str, Quantity], other: dict[str, Quantity]) -> None:
    for name, value in other.items():
        if name not in totals or value.number > totals[name].number:
            totals[name] = value


def _parsed(resources: object) -> dict[str, Quantity]:
    found = {}
    for name, value in (resources or {}).items() if isinstance(resources, dict) else ():
        try:
            found[name] = Quantity.of(value)
        except QuantityError:
            continue
    return found


def _of(container: Object, which: str) -> dict[str, Quantity]:
    return _parsed((container.get("resources") or {}).get(which))


def _total(spec: Object, which: str) -> dict[str, Quantity]:
    """The containers together; an init container counts if it alone, with the sidecars before it, is larger (KEP-753)."""
    totals: dict[str, Quantity] = {}
    for container in spec.get("containers") or ():
        _sum(totals, _of(container, which))
    sidecars: dict[str, Quantity] = {}
    peaks: dict[str, Quantity] = {}
    for container in spec.get("initContainers") or ():
        own = _of(container, which)
        if container.get("restartPolicy") == "Always":
            _sum(totals, own)
            _sum(sidecars, own)
            _max(peaks, sidecars)
        else:
            at_once = dict(own)
            _sum(at_once, sidecars)
            _max(peaks, at_once)
    _max(totals, peaks)
    return totals


def containers_requests(spec: Object) -> dict[str, str]:
    return {name: str(value) for name, value in _total(spec, "requests").items()}


def containers_limits(spec: Object) -> dict[str, str]:
    return {name: str(value) for name, value in _total(spec, "limits").items()}


def _whole(pod: Object, which: str) -> dict[str, Quantity]:
    spec = pod["spec"]
    totals = _total(spec, which)
    for name, value in _parsed((spec.get("resources") or {}).get(which)).items():
        if name in _POD_LEVEL or name.startswith("hugepages-"):
            totals[name] = value
    if which == "requests" or totals:
        for name, value in _parsed(spec.get("overhead")).items():
            if which == "requests" or name in totals:
                totals[name] = totals[name] + value if name in totals else value
    return totals


def pod_requests(pod: Object) -> dict[str, str]:
    """Quantities by resource name: what the scheduler counts."""
    return {name: str(value) for name, value in _whole(pod, "requests").items()}


def pod_limits(pod: Object) -> dict[str, str]:
    return {name: str(value) for name, value in _whole(pod, "limits").items()}


def qos_class(pod: Object) -> str:
    """Guaranteed, Burstable or BestEffort (v1qos.ComputePodQOS)."""
    spec = pod["spec"]
    if spec.get("resources"):
        parts = [spec]
    else:
        parts = [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]
    requests: dict[str, Fraction] = {}
    limits: dict[str, Fraction] = {}
    guaranteed = True
    for part in parts:
        asked, bound = _of(part, "requests"), _of(part, "limits")
        for name, value in asked.items():
            if name in _POD_LEVEL and value.number:
                requests[name] = requests.get(name, Fraction(0)) + value.number
        limited = set()
        for name, value in bound.items():
            if name in _POD_LEVEL and value.number:
                limited.add(name)
                limits[name] = limits.get(name, Fraction(0)) + value.number
        if limited != set(_POD_LEVEL):
            guaranteed = False
    if not requests and not limits:
        return "BestEffort"
    return "Guaranteed" if guaranteed and requests == limits and len(limits) == 2 else "Burstable"
