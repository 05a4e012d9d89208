"""The values of CEL that JSON does not have. Whole numbers are int, unsigned ones `Uint`; a map is a dict, a list a list."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from datetime import timezone as fixed_zone
from fractions import Fraction
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from urllib.parse import quote as urlquote
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from ..quantity import Quantity
from .errors import CelError

NANO = 1_000_000_000
INT_MIN, INT_MAX, UINT_MAX = -(2**63), 2**63 - 1, 2**64 - 1


class Uint(int):
    """An unsigned integer."""

    __slots__ = ()


class SetList(list[Any]):
    """A list of type set: equal in any order, + is the union."""


class MapList(list[Any]):
    """A list of type map: its items go by their keys."""

    keys: tuple[str, ...] = ()

    def key_of(self, item: Any) -> tuple[Any, ...]:
        return tuple(item.get(key) for key in self.keys)


@dataclass(frozen=True, slots=True)
class TypeValue:
    """What `type(x)` gives."""

    name: str


# -- time --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, order=True)
class Duration:
    nanos: int

    def __post_init__(self) -> None:
        if not INT_MIN <= self.nanos <= INT_MAX:
            raise CelError("duration overflow")

    @classmethod
    def parse(cls, text: str) -> Duration:
        """Go's: `1h30m`, `-1.5s`. Raises ValueError."""
        match = _DURATION.fullmatch(text)
        if not match or (not match["parts"] and not match["zero"]):
            raise ValueError(f'time: invalid duration "{text}"')
        total = sum(
            (Fraction(number) * _NANOS[unit] for number, unit in _PART.findall(match["parts"] or "")),
            Fraction(),
        )
        nanos = int(-total if match["sign"] == "-" else total)
        if not INT_MIN <= nanos <= INT_MAX:
            raise ValueError(f'time: invalid duration "{text}"')
        return cls(nanos)

    def __str__(self) -> str:
        """As CEL shows it: seconds."""
        return f"{seconds_text(self.nanos)}s"


_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)")
_DURATION = re.compile(
    r"(?P<sign>[+-]?)(?:(?P<zero>0)|(?P<parts>(?:(?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+))",
    re.ASCII,
)
_NANOS = {
    "ns": 1,
    "us": 1000,
    "µs": 1000,
    "μs": 1000,
    "ms": 10**6,
    "s": NANO,
    "m": 60 * NANO,
    "h": 3600 * NANO,
}
_TIME = re.compile(r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(?:\.(\d{1,9})\d*)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
YEAR_1, YEAR_10000 = -62135596800 * NANO, 253402300800 * NANO
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def seconds_text(nanos: int) -> str:
    sign, nanos = ("-", -nanos) if nanos < 0 else ("", nanos)
    whole, part = divmod(nanos, NANO)
    return f"{sign}{whole}" + (f".{part:09d}".rstrip("0") if part else "")


@dataclass(frozen=True, slots=True, order=True)
class Timestamp:
    nanos: int  # since the epoch
    offset_s: int = field(default=0, compare=False)
    """Of the zone that it was written in: how it is shown."""

    def __post_init__(self) -> None:
        if not YEAR_1 <= self.nanos < YEAR_10000:
            raise CelError("timestamp overflow")

    @classmethod
    def parse(cls, text: str) -> Timestamp:
        """RFC 3339. Raises ValueError."""
        match = _TIME.fullmatch(text)
        if not match:
            raise ValueError(f'parsing time "{text}" as "2006-01-02T15:04:05Z07:00"')
        day, clock, fraction, zone = match.groups()
        moment = datetime.fromisoformat(f"{day}T{clock}{'+00:00' if zone in 'zZ' else zone}")
        offset = moment.utcoffset() or timedelta()
        return cls(_nanos(moment) + int((fraction or "0").ljust(9, "0")), int(offset.total_seconds()))

    def moved(self, nanos: int) -> Timestamp:
        return Timestamp(self.nanos + nanos, self.offset_s)

    @classmethod
    def date(cls, text: str) -> Timestamp:
        return cls(_nanos(datetime.fromisoformat(text).replace(tzinfo=UTC)))

    def at(self, zone: str) -> datetime:
        """In a time zone: `UTC`, `Europe/Berlin`, `+02:00`."""
        moment = _EPOCH + timedelta(microseconds=self.nanos // 1000)
        if zone in ("", "UTC"):
            return moment
        if match := re.fullmatch(r"([+-]?)(\d\d):(\d\d)", zone):
            shift = timedelta(hours=int(match[2]), minutes=int(match[3]))
            return moment.astimezone(fixed_zone(-shift if match[1] == "-" else shift))
        try:
            return moment.astimezone(ZoneInfo(zone))
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise CelError(f"unknown time zone {zone}") from None

    def __str__(self) -> str:
        part = self.nanos % NANO
        fraction = f".{part:09d}".rstrip("0") if part else ""
        sign, minutes = "-" if self.offset_s < 0 else "+", abs(self.offset_s) // 60
        zone = f"{sign}{minutes // 60:02d}:{minutes % 60:02d}" if self.offset_s else "Z"
        shown = _EPOCH + timedelta(seconds=self.nanos // NANO + self.offset_s)
        return f"{shown.replace(tzinfo=None).isoformat()}{fraction}{zone}"


def _nanos(moment: datetime) -> int:
    delta = moment - _EPOCH
    return (delta.days * 86400 + delta.seconds) * NANO


# -- optional ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Optional:
    present: bool
    value: Any = None

    def get(self) -> Any:
        if not self.present:
            raise CelError("optional.none() dereference")
        return self.value


NONE = Optional(False)


# -- Kubernetes' own ---------------------------------------------------------------------------------------------------


_PATH = re.compile(r"(?:[A-Za-z0-9\-_.~$&+,/:;=@!'()*\[\]]|%[0-9A-Fa-f]{2})*")
_AUTHORITY = re.compile(r"(?:[^@ ]*@)?(?:\[[^\] ]*\]|[^\[\] ]*?)(?::\d*)?")


def _is_authority(text: str) -> bool:
    host = text.rpartition("@")[2]
    colon = host.rfind(":") if not host.startswith("[") else host.find(":", host.find("]"))
    return _AUTHORITY.fullmatch(text) is not None and (
        colon < 0 or host[colon + 1 :].isdigit() or not host[colon + 1 :]
    )


@dataclass(frozen=True, slots=True)
class Url:
    text: str

    @classmethod
    def parse(cls, text: str) -> Url:
        """net/url.ParseRequestURI. Raises ValueError."""
        odd = not text or any(ord(char) < 32 or ord(char) == 127 for char in text)
        parts = urlsplit(text) if not odd else None
        if parts is None or not (parts.scheme or text.startswith("/")) or not _is_authority(parts.netloc):
            raise ValueError(
                f'URL parse error during conversion from string: parse "{text}": invalid URI for request'
            )
        return cls(text)

    @property
    def host(self) -> str:
        return urlsplit(self.text).netloc.rpartition("@")[2]

    @property
    def hostname(self) -> str:
        host = self.host
        if host.startswith("["):
            return host[1 : host.find("]")]
        return host.rpartition(":")[0] if re.search(r":\d*$", host) else host

    @property
    def port(self) -> str:
        match = re.search(r":(\d*)$", self.host)
        return match[1] if match else ""

    @property
    def scheme(self) -> str:
        return urlsplit(self.text).scheme

    @property
    def path(self) -> str:
        path = urlsplit(self.text).path
        return path if _PATH.fullmatch(path) else urlquote(unquote(path), safe="$&+,/:;=@~")

    @property
    def query(self) -> dict[str, list[str]]:
        return parse_qs(urlsplit(self.text).query, keep_blank_values=True)


def _address_problem(text: str) -> str:
    """In the words of Go's netip, for the commonest."""
    if ":" in text:
        if re.search(r":::|^:[^:]", text):
            at = text[text.index(":::") + 2 :] if ":::" in text else text
            return f'each colon-separated field must have at least one digit (at "{at}")'
        return "unable to parse IP"
    fields = text.split(".")
    if len(fields) == 1:
        return "unable to parse IP"
    for field_ in fields:
        if not field_:
            return "IPv4 field must have at least one digit"
        if not field_.isdigit():
            return f'unexpected character (at "{text[text.index(field_) :]}")'
        if int(field_) > 255:
            return "IPv4 field has value >255"
        if len(field_) > 1 and field_[0] == "0":
            return "IPv4 field has octet with leading zero"
    return "IPv4 address too long" if len(fields) > 4 else "IPv4 address too short"


@dataclass(frozen=True, slots=True)
class Ip:
    address: ipaddress.IPv4Address | ipaddress.IPv6Address

    @classmethod
    def parse(cls, text: str) -> Ip:
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            why = f'ParseAddr("{text}"): {_address_problem(text)}'
            raise ValueError(
                f'IP Address "{text}" parse error during conversion from string: {why}'
            ) from None
        if "%" in text:
            raise ValueError(f'IP address "{text}" with zone value is not allowed')
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            raise ValueError(f'IPv4-mapped IPv6 address "{text}" is not allowed')
        return cls(address)

    def __str__(self) -> str:
        return str(self.address)


@dataclass(frozen=True, slots=True)
class Cidr:
    network: ipaddress.IPv4Interface | ipaddress.IPv6Interface

    @classmethod
    def parse(cls, text: str) -> Cidr:
        address, slash, bits = text.rpartition("/")
        why = ""
        try:
            if not slash:
                why = "no '/'"
            elif "%" in address:
                why = "IPv6 zones cannot be present in a prefix"
            elif not re.fullmatch(r"0|[1-9]\d*", bits, re.ASCII):
                ipaddress.ip_address(address)
                why = f'bad bits after slash: "{bits}"'
            elif int(bits) > ipaddress.ip_address(address).max_prefixlen:
                why = "prefix length out of range"
            interface = None if why else ipaddress.ip_interface(text)
        except ValueError:
            why = f'ParseAddr("{address}"): {_address_problem(address)}'
        if why or interface is None:
            problem = "network address parse error during conversion from string"  # twice, as it comes from two places
            raise ValueError(f'{problem}: {problem}: netip.ParsePrefix("{text}"): {why}')
        if isinstance(interface, ipaddress.IPv6Interface) and interface.ipv4_mapped is not None:
            raise ValueError(f'IPv4-mapped IPv6 address "{address}" is not allowed')
        return cls(interface)

    @property
    def masked(self) -> Cidr:
        return Cidr(ipaddress.ip_interface(str(self.network.network)))

    def contains_ip(self, ip: Ip) -> bool:
        return ip.address.version == self.network.version and ip.address in self.network.network

    def contains(self, other: Cidr) -> bool:
        mine, theirs = self.network.network, other.network.network
        return (
            mine.version == theirs.version
            and mine.prefixlen <= theirs.prefixlen
            and self.contains_ip(Ip(other.network.ip))
        )

    def __str__(self) -> str:
        return str(self.network)


_SEMVER = re.compile(
    r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(?:-((?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(?:\.(?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*))?"
    r"(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Semver:
    numbers: tuple[int, int, int]
    pre: tuple[str, ...]

    @classmethod
    def parse(cls, text: str, loose: bool = False) -> Semver:
        """`loose`: `v1.2`, `01.2.3`."""
        given = text
        if loose:
            text = text.removeprefix("v")
            core, *rest = re.split(r"(?=[-+])", text, maxsplit=1)
            parts = [part.lstrip("0") or part[:1] for part in core.split(".")]
            text = ".".join(parts + ["0"] * (3 - len(parts))) + "".join(rest)
        match = _SEMVER.fullmatch(text)
        if not match:
            raise ValueError(
                f"semver parse error during conversion from string: No Major.Minor.Patch elements found in {given!r}"
            )
        return cls(
            (int(match[1]), int(match[2]), int(match[3])), tuple(match[4].split(".")) if match[4] else ()
        )

    @property
    def order(self) -> tuple[Any, ...]:
        pre = tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in self.pre)
        return (self.numbers, not self.pre, pre)

    def __str__(self) -> str:
        return ".".join(map(str, self.numbers)) + (f"-{'.'.join(self.pre)}" if self.pre else "")


@dataclass(frozen=True, slots=True)
class Format:
    name: str
    check: Callable[[str], list[str]]
    pattern_size: int
    """What its pattern counts for in costs."""


_QUANTITY = re.compile(r"[+-]?[0-9.]+[eEinumkKMGTP]*[-+]?[0-9]*")


def parse_quantity(text: str) -> Quantity:
    try:
        if not _QUANTITY.fullmatch(text):
            form = "^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$"
            raise ValueError(f"quantities must match the regular expression '{form}'")
        return Quantity.parse(text)
    except ValueError as error:
        raise ValueError(f"quantity parse error during conversion from string: {error}") from None


# -- comparing -----------------------------------------------------------------------------------------------------------

_NUMBERS = (int, Uint, float)


def equal(left: Any, right: Any) -> bool:
    """CEL's ==: numbers of all kinds by value, everything else only with its own kind."""
    kind = type(left)
    if kind is not type(right):
        if kind in _NUMBERS and type(right) in _NUMBERS:
            return bool(left == right)
        if isinstance(left, list) and isinstance(right, list):
            return _equal_lists(left, right)
        return False
    if kind is dict:
        return len(left) == len(right) and all(
            key in right and equal(value, right[key]) for key, value in left.items()
        )
    if isinstance(left, list):
        return _equal_lists(left, right)
    if kind is Quantity:
        return bool(left.number == right.number)
    return bool(left == right)


def _equal_lists(left: list[Any], right: list[Any]) -> bool:
    if len(left) != len(right):
        return False
    if isinstance(left, SetList):
        return all(contains(right, item) for item in left)
    if isinstance(left, MapList):
        theirs = {left.key_of(item): item for item in right}
        return all(left.key_of(item) in theirs and equal(item, theirs[left.key_of(item)]) for item in left)
    return all(equal(a, b) for a, b in zip(left, right))


def contains(items: Any, item: Any) -> bool:
    return any(equal(each, item) for each in items)


def joined(left: list[Any], right: list[Any]) -> list[Any]:
    """list + list; of sets the union, of maps with the right side's items in the left side's places."""
    if isinstance(left, SetList):
        return SetList([*left, *(item for item in right if not contains(left, item))])
    if isinstance(left, MapList):
        merged = {left.key_of(item): item for item in left} | {left.key_of(item): item for item in right}
        made = MapList(merged.values())
        made.keys = left.keys
        return made
    return [*left, *right]
