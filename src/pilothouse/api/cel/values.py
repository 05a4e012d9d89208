"""The values of CEL that JSON does not have. Whole numbers are int, unsigned ones `Uint`; a map is a dict, a list a list."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any
from urllib.parse import quote as urlquote
from urllib.parse import unquote, unquote_plus
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from ..fielderrors import quoted
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
            raise CelError("integer overflow")

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
        if ":" in zone:
            hours, _, minutes = zone.partition(":")
            for part in (hours, minutes):
                if not re.fullmatch(r"[+-]?\d+", part, re.ASCII):
                    raise CelError(f"strconv.Atoi: parsing {quoted(part)}: invalid syntax")
            sign = -1 if zone[0] == "-" else 1
            return moment + timedelta(hours=int(hours), minutes=sign * int(minutes))
        if zone == "Local":
            return moment
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
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*):")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2}).{0,2}", re.DOTALL)
_NO_HOST = re.compile(r"[^A-Za-z0-9\-_.~!$&'()*+,;=:\[\]<>\"%\u0080-\U0010ffff]")


@dataclass(frozen=True, slots=True)
class Url:
    text: str
    scheme: str
    host: str
    raw_path: str
    raw_query: str

    @classmethod
    def parse(cls, text: str) -> Url:
        """What both of net/url's ParseRequestURI and Parse accept. Raises ValueError, in their words."""
        scheme, host = "", ""
        why = ""
        match = _SCHEME.match(text)
        rest = text
        if match is not None:
            scheme, rest = match[1].lower(), text[match.end() :]
        rest, _, query = rest.partition("#")[0].partition("?")
        if any(ord(char) < 32 or ord(char) == 127 for char in text):
            why = "net/url: invalid control character in URL"
        elif not text:
            why = "empty url"
        elif text[0] == ":":
            why = "missing protocol scheme"
        elif not rest.startswith("/"):
            why, rest = "" if scheme else "invalid URI for request", ""
        elif rest.startswith("//") and (scheme or not rest.startswith("///")):
            authority, slash, path = rest[2:].partition("/")
            host, rest = authority.rpartition("@")[2], slash + path
            why = _host_problem(host)
        if not why and (bad := _BAD_ESCAPE.search(rest)) is not None:
            why = f"invalid URL escape {quoted(bad[0])}"
        if why:
            raise ValueError(f"URL parse error during conversion from string: parse {quoted(text)}: {why}")
        return cls(text, scheme, host, rest, query)

    @property
    def hostname(self) -> str:
        if self.host.startswith("["):
            return self.host[1 : self.host.find("]")]
        return self.host.rpartition(":")[0] if re.search(r":\d*$", self.host) else self.host

    @property
    def port(self) -> str:
        match = re.search(r":(\d*)$", self.host)
        return match[1] if match else ""

    @property
    def path(self) -> str:
        path = self.raw_path
        return path if _PATH.fullmatch(path) else urlquote(unquote(path), safe="$&+,/:;=@~")

    @property
    def query(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for part in self.raw_query.split("&"):
            if part and ";" not in part and not _BAD_ESCAPE.search(part):
                key, _, value = part.partition("=")
                found.setdefault(unquote_plus(key), []).append(unquote_plus(value))
        return found


def _host_problem(host: str) -> str:
    end = host.rfind("]") if host.startswith("[") else host.rfind(":") - 1
    if host.startswith("[") and end < 0:
        return "missing ']' in host"
    port = host[end + 1 :] if end >= -1 and ":" in host else ""
    if port and not re.fullmatch(r":\d*", port, re.ASCII):
        return f"invalid port {quoted(port)} after host"
    if (bad := _BAD_ESCAPE.search(host) or re.search(r"%(?!25).{0,2}", host)) is not None:
        return f"invalid URL escape {quoted(bad[0])}"
    odd = _NO_HOST.search(host)
    return f"invalid character {quoted(odd[0])} in host name" if odd is not None else ""


def _address_problem(text: str) -> str:
    """In the words of Go's netip."""
    sign = re.search(r"[.:%]", text)
    if sign is None:
        return "unable to parse IP"
    if sign[0] == "%":
        return "missing IPv6 address"
    return _ipv4_problem(text) if sign[0] == "." else _ipv6_problem(text)


def _ipv4_problem(text: str) -> str:
    fields = 1
    value = ""
    for index, char in enumerate(text):
        if char in "0123456789":
            if value == "0":
                return "IPv4 field has octet with leading zero"
            value += char
            if int(value) > 255:
                return "IPv4 field has value >255"
        elif char == ".":
            if not value or index == len(text) - 1:
                return f"IPv4 field must have at least one digit (at {quoted(text[index:])})"
            if fields == 4:
                return "IPv4 address too long"
            fields, value = fields + 1, ""
        else:
            return f"unexpected character (at {quoted(text[index:])})"
    return "IPv4 address too short"


def _ipv6_problem(text: str) -> str:
    rest, percent, zone = text.partition("%")
    if percent and not zone:
        return "zone must be a non-empty string"
    shortened = rest.startswith("::")
    rest = rest[2:] if shortened else rest
    groups = 0
    while groups < 8 and rest:
        digits = re.match(r"[0-9a-fA-F]*", rest)
        length = len(digits[0]) if digits is not None else 0
        if length > 4:
            return f"each group must have 4 or less digits (at {quoted(rest)})"
        if not length:
            return f"each colon-separated field must have at least one digit (at {quoted(rest)})"
        if rest[length : length + 1] == ".":
            if not shortened and groups != 6:
                return f"embedded IPv4 address must replace the final 2 fields of the address (at {quoted(rest)})"
            if groups > 6:
                return f"too many hex fields to fit an embedded IPv4 at the end of the address (at {quoted(rest)})"
            return _ipv4_problem(rest)
        groups, rest = groups + 1, rest[length:]
        if not rest:
            break
        if rest[0] != ":":
            return f"unexpected character, want colon (at {quoted(rest)})"
        if len(rest) == 1:
            return f"colon must be followed by more characters (at {quoted(rest)})"
        rest = rest[1:]
        if rest[0] == ":":
            if shortened:
                return f"multiple :: in address (at {quoted(rest)})"
            shortened, rest = True, rest[1:]
    if rest:
        return f"trailing garbage after address (at {quoted(rest)})"
    return "the :: must expand to at least one field of zeros" if groups == 8 else "address string too short"


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
            mapped = f'IPv4-mapped IPv6 address "{text}" is not allowed'
            raise ValueError(f"network address parse error during conversion from string: {mapped}")
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


_DIGITS, _WORD = re.compile(r"[0-9]*"), re.compile(r"[0-9A-Za-z-]*")


@dataclass(frozen=True, slots=True)
class Semver:
    numbers: tuple[int, ...]
    pre: tuple[str, ...]

    @classmethod
    def parse(cls, text: str, loose: bool = False) -> Semver:
        """`loose`: `v1.2`, `01.2.3`. Raises ValueError, in the words of Kubernetes' library (blang/semver)."""
        if loose:
            parts = text.removeprefix("v").split(".", 2)
            for index, part in enumerate(parts):
                if len(part) > 1:
                    rest = part.lstrip("0")
                    parts[index] = rest if rest[:1].isdigit() else f"0{rest}"
            if len(parts) < 3 and re.search(r"[+-]", parts[-1]):
                raise ValueError("short version cannot contain PreRelease/Build meta data")
            text = ".".join(parts + ["0"] * (3 - len(parts)))
        if not text:
            raise ValueError("Version string empty")
        parts = text.split(".", 2)
        if len(parts) != 3:
            raise ValueError("No Major.Minor.Patch elements found")
        core, plus, build = parts[2].partition("+")
        core, minus, pre = core.partition("-")
        numbers = tuple(
            _version_number(part, name) for part, name in zip((*parts[:2], core), ("major", "minor", "patch"))
        )
        for part in pre.split(".") if minus else ():
            if not part:
                raise ValueError("Prerelease is empty")
            if _DIGITS.fullmatch(part):
                if len(part) > 1 and part[0] == "0":
                    raise ValueError(
                        f"Numeric PreRelease version must not contain leading zeroes {quoted(part)}"
                    )
            elif not _WORD.fullmatch(part):
                raise ValueError(f"Invalid character(s) found in prerelease {quoted(part)}")
        for part in build.split(".") if plus else ():
            if not part:
                raise ValueError("Build meta data is empty")
            if not _WORD.fullmatch(part):
                raise ValueError(f"Invalid character(s) found in build meta data {quoted(part)}")
        return cls(numbers, tuple(pre.split(".")) if minus else ())

    @property
    def order(self) -> tuple[Any, ...]:
        pre = tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in self.pre)
        return (self.numbers, not self.pre, pre)

    def __str__(self) -> str:
        return ".".join(map(str, self.numbers)) + (f"-{'.'.join(self.pre)}" if self.pre else "")


def _version_number(text: str, name: str) -> int:
    if not _DIGITS.fullmatch(text):
        raise ValueError(f"Invalid character(s) found in {name} number {quoted(text)}")
    if len(text) > 1 and text[0] == "0":
        raise ValueError(f"{name.capitalize()} number must not contain leading zeroes {quoted(text)}")
    if not text or int(text) > UINT_MAX:
        why = "value out of range" if text else "invalid syntax"
        raise ValueError(f"strconv.ParseUint: parsing {quoted(text)}: {why}")
    return int(text)


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
        raise ValueError(str(error)) from None


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
