"""IP addresses and ranges, as strictly as 1.36 reads them (KEP-4858): no leading zeros, no IPv4 inside IPv6, no bits beyond the prefix.

`known`: values that an old object had already; they pass unread.
"""

from __future__ import annotations

import functools
import ipaddress
import re
from collections.abc import Collection
from dataclasses import dataclass

from ..fielderrors import FieldErrors

NOT_AN_IP = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
NOT_A_RANGE = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
LEADING_ZEROS = "must not have leading 0s"
_LOCAL_MULTICAST = re.compile(r"224\.0\.0\.|ff.2:")
_DOTTED = re.compile(r"\d+(\.\d+){3}")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class _Read:
    """`address` is None for what is no address at all; `problem` says what strictness minds."""

    address: Address | None
    problem: str = ""


@functools.lru_cache(maxsize=4096)
def _read(value: str) -> _Read:
    problem, plain = "", value
    if _DOTTED.fullmatch(value):
        plain = ".".join(str(int(part)) for part in value.split("."))
        if plain != value:
            problem = LEADING_ZEROS
    try:
        address = ipaddress.ip_address(plain)
    except ValueError:
        return _Read(None, NOT_AN_IP)
    if "%" in value:
        return _Read(None, NOT_AN_IP)
    if address.version == 6 and address.ipv4_mapped is not None:
        problem, address = "must not be an IPv4-mapped IPv6 address", address.ipv4_mapped
    return _Read(address, problem)


def parse(value: str) -> Address | None:
    """Without strictness."""
    return _read(value).address


def strict_problem(value: str) -> str:
    """What strictness minds in an address that can be read."""
    return _read(value).problem


def family(value: str) -> str:
    """IPv4, IPv6 or ""."""
    address = parse(value)
    return "" if address is None else f"IPv{address.version}"


def ip(errors: FieldErrors, value: str, path: str, known: Collection[str] = ()) -> bool:
    """Of a field that is older than strictness: any spelling. True: it is fine."""
    if value in known:
        return True
    problem = _read(value).problem
    if problem:
        errors.invalid(path, value, problem)
    return not problem


def ip_name(value: str) -> list[str]:
    """What an IPAddress may be called: an address in its one canonical spelling."""
    read = _read(value)
    if read.problem:
        return [read.problem]
    return [] if str(read.address) == value else [f'must be in canonical form ("{read.address}")']


def ordinary_ip(errors: FieldErrors, value: str, path: str) -> None:
    """Not loopback, not link-local: where traffic to a service may go."""
    errors.messages(path, value, _oddities(value))


@functools.lru_cache(maxsize=4096)
def _oddities(value: str) -> list[str]:
    address, found = parse(value), []
    if address is None:
        return ["must be a valid IP address"]
    if address.is_unspecified:
        found.append(f"may not be unspecified ({value})")
    if address.is_loopback:
        found.append("may not be in the loopback range (127.0.0.0/8, ::1/128)")
    if address.is_link_local:
        found.append("may not be in the link-local range (169.254.0.0/16, fe80::/10)")
    if _LOCAL_MULTICAST.match(str(address)):
        found.append("may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)")
    return found


def parse_range(value: str) -> Network | None:
    """Without strictness; the bits beyond the prefix are dropped."""
    base, slash, bits = value.partition("/")
    address = parse(base)
    if not slash or address is None or not bits.isascii() or not bits.isdigit():
        return None
    length = int(bits)
    if address.version == 4 and ":" in base:  # mapped: the prefix is IPv6's
        length -= 96
    if not 0 <= length <= address.max_prefixlen:
        return None
    return ipaddress.ip_network((address, length), strict=False)


def range_problem(value: str) -> str:
    """What strictness minds in a range that can be read."""
    base, _, bits = value.partition("/")
    problem = _read(base).problem
    if problem == LEADING_ZEROS or bits != str(int(bits)):
        return f"{LEADING_ZEROS} in IP or prefix length"
    if problem:
        return problem.replace("be an IPv4", "have an IPv4")
    network = parse_range(value)
    beyond = network is not None and parse(base) != network.network_address
    return "must not have bits set beyond the prefix length" if beyond else ""


def cidr(
    errors: FieldErrors, value: str, path: str, known: Collection[str] = (), *, canonical: bool = False
) -> None:
    """`canonical`: only the one canonical spelling."""
    if value in known:
        return
    network = parse_range(value)
    if network is None:
        errors.invalid(path, value, NOT_A_RANGE)
        return
    problem = range_problem(value)
    if problem:
        errors.invalid(path, value, problem)
    elif canonical and str(network) != value:
        errors.invalid(path, value, f'must be in canonical form ("{network}")')


def interface(errors: FieldErrors, value: str, path: str) -> None:
    """An address and the prefix of its network, in the one canonical spelling."""
    network = parse_range(value)
    if network is None:
        why = "must be a valid address in CIDR form, (e.g. 10.9.8.7/24 or 2001:db8::1/64)"
        errors.invalid(path, value, why)
    elif value != (spelled := f"{parse(value.partition('/')[0])}/{network.prefixlen}"):
        errors.invalid(path, value, f'must be in canonical form ("{spelled}")')
