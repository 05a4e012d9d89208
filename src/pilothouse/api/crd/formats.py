"""The formats of strings that a custom resource's schema may ask for (kube-openapi/pkg/validation/strfmt)."""

from __future__ import annotations

import binascii
import ipaddress
import re
from collections.abc import Callable
from datetime import date
from email.utils import parseaddr
from urllib.parse import urlsplit

from ..re2 import compile as compile_re2

_UUID = r"(?i)^[0-9a-f]{8}-?[0-9a-f]{4}-?%s-?%s-?[0-9a-f]{12}$"
_HEX4 = "[0-9a-f]{4}"
_VARIANT = "[89ab][0-9a-f]{3}"
_DNS_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_HOST = r"[a-zA-Z0-9\p{S}\p{L}]"
_HOSTNAME = rf"^({_HOST}((-?{_HOST}{{0,62}})?)|({_HOST}(([a-zA-Z0-9-\p{{S}}\p{{L}}]{{0,61}}{_HOST})?)(\.)){{1,}}([a-zA-Z\p{{L}}]){{2,63}})$"
_CLOCK = re.compile(r"([01]\d|2[0-3]):[0-5]\d:[0-5]\d(.\d+)?(z|[+-]\d{2}:\d{2})", re.ASCII | re.DOTALL)
_SCALA_DURATION = re.compile(r"(\d+)\s*([A-Za-zµ]+)")
_SCALA_UNITS: tuple[tuple[int, tuple[str, ...]], ...] = (
    (1, ("ns", "nano")), (10**3, ("us", "µs", "micro")), (10**6, ("ms", "milli")), (10**9, ("s", "sec")), (60 * 10**9, ("m", "min")),
    (3600 * 10**9, ("h", "hr", "hour")), (86400 * 10**9, ("d", "day")), (7 * 86400 * 10**9, ("w", "wk", "week")),
)  # fmt: skip


def duration_nanos(text: str) -> int | None:
    """As strfmt reads one: Go's form, or whatever of Scala's is in the text."""
    from ..cel.errors import CelError
    from ..cel.values import Duration

    try:
        return Duration.parse(text).nanos
    except (ValueError, CelError):
        pass
    total = None
    for count, unit in _SCALA_DURATION.findall(text):
        for nanos, names in _SCALA_UNITS:
            for name in names:
                if unit.lower() == name or (name == names[-1] and unit.lower().startswith(name)):
                    total = (total or 0) + int(count) * nanos
    return total


def _matches(pattern: str) -> Callable[[str], bool]:
    return lambda text: compile_re2(pattern).search(text) is not None


def _ip(version: int) -> Callable[[str], bool]:
    def check(text: str) -> bool:
        if version == 4:  # leading zeros are tolerated
            text = ".".join(part.lstrip("0") or "0" if part.isdigit() else part for part in text.split("."))
        try:
            return "%" not in text and ipaddress.ip_address(text).version == version
        except ValueError:
            return False

    return check


def _cidr(text: str) -> bool:
    address, slash, length = text.partition("/")
    try:
        return (
            bool(slash)
            and length.isdigit()
            and ipaddress.ip_network(f"{address}/{length}", strict=False) is not None
        )
    except ValueError:
        return False


def _email(text: str) -> bool:
    local, at, domain = parseaddr(text)[1].rpartition("@")
    return bool(local and at and domain) and not re.search(r"\s", local + domain) and "@@" not in text


def _uri(text: str) -> bool:
    """net/url.ParseRequestURI: absolute, or a path from the root."""
    if not text or any(ord(char) <= 32 or ord(char) == 127 for char in text):
        return False
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return bool(parts.scheme) or text.startswith("/")


def _byte(text: str) -> bool:
    try:
        return bool(text) and binascii.a2b_base64(text.encode("ascii"), strict_mode=True) is not None
    except (binascii.Error, UnicodeEncodeError):
        return False


def _date(text: str) -> bool:
    try:
        return len(text) == 10 and date.fromisoformat(text) is not None
    except ValueError:
        return False


def _date_time(text: str) -> bool:
    day, _, clock = text.lower().partition("t")
    return _date(day) and _CLOCK.fullmatch(clock.partition("t")[0]) is not None


def _mac(text: str) -> bool:
    """Of 6, 8 or 20 bytes."""
    for digits, signs in ((2, ":-"), (4, ".")):
        for sign in signs:
            parts = text.split(sign)
            if len(parts) * digits in (12, 16, 40):
                return all(re.fullmatch(rf"[0-9a-fA-F]{{{digits}}}", part) for part in parts)
    return False


def _digits(text: str) -> list[int]:
    return [int(char) for char in text if char.isdigit()]


def _isbn10(text: str) -> bool:
    plain = re.sub(r"[\s-]", "", text)
    if not re.fullmatch(r"\d{9}[\dX]", plain, re.ASCII):
        return False
    total = sum((i + 1) * int(char) for i, char in enumerate(plain[:9]))
    return (total + 10 * (10 if plain[9] == "X" else int(plain[9]))) % 11 == 0


def _isbn13(text: str) -> bool:
    plain = re.sub(r"[\s-]", "", text)
    if not re.fullmatch(r"\d{13}", plain, re.ASCII):
        return False
    return sum(digit * (1 if i % 2 == 0 else 3) for i, digit in enumerate(_digits(plain))) % 10 == 0


_CARD = (
    r"^(?:4[0-9]{12}(?:[0-9]{3})?|5[1-5][0-9]{14}|6(?:011|5[0-9][0-9])[0-9]{12}|3[47][0-9]{13}|3(?:0[0-5]|[68][0-9])[0-9]{11}"
    r"|(?:2131|1800|35\d{3})\d{11})$"
)


def _credit_card(text: str) -> bool:
    plain = re.sub(r"\D", "", text)
    if not re.fullmatch(_CARD[1:-1], plain):
        return False
    doubled = [digit * 2 - 9 if digit > 4 else digit * 2 for digit in _digits(plain)[-2::-2]]
    return (sum(doubled) + sum(_digits(plain)[-1::-2])) % 10 == 0


CHECKS: dict[str, Callable[[str], bool]] = {
    "bsonobjectid": _matches("^[0-9a-fA-F]{24}$"),
    "uri": _uri,
    "email": _email,
    "hostname": lambda text: (
        len(text.encode()) <= 255
        and all(len(part.encode()) <= 63 for part in text.split("."))
        and compile_re2(_HOSTNAME).search(text) is not None
    ),
    "ipv4": _ip(4),
    "ipv6": _ip(6),
    "cidr": _cidr,
    "mac": _mac,
    "uuid": _matches(_UUID % (_HEX4, _HEX4)),
    "uuid3": _matches(_UUID % ("3[0-9a-f]{3}", _HEX4)),
    "uuid4": _matches(_UUID % ("4[0-9a-f]{3}", _VARIANT)),
    "uuid5": _matches(_UUID % ("5[0-9a-f]{3}", _VARIANT)),
    "isbn": lambda text: _isbn10(text) or _isbn13(text),
    "isbn10": _isbn10,
    "isbn13": _isbn13,
    "creditcard": _credit_card,
    "ssn": _matches(r"^\d{3}[- ]\d{2}[- ]\d{4}$"),
    "hexcolor": _matches("^#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})$"),
    "rgbcolor": _matches(
        r"^rgb\(\s*(0|[1-9]\d?|1\d\d?|2[0-4]\d|25[0-5])\s*(,\s*(0|[1-9]\d?|1\d\d?|2[0-4]\d|25[0-5])\s*){2}\)$"
    ),
    "byte": _byte,
    "password": lambda text: True,
    "date": _date,
    "duration": lambda text: duration_nanos(text) is not None,
    "datetime": _date_time,
    "k8s-short-name": lambda text: len(text) <= 63 and re.fullmatch(_DNS_LABEL, text) is not None,
    "k8s-long-name": lambda text: (
        len(text) <= 253 and re.fullmatch(rf"{_DNS_LABEL}(\.{_DNS_LABEL})*", text) is not None
    ),
}


def holds(format_: str, text: str) -> bool:
    check = CHECKS.get(format_) or CHECKS.get(format_.replace("-", ""))
    return check is None or check(text)
