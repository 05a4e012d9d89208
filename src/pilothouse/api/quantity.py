"""`resource.Quantity`: exact numbers with the suffixes of Kubernetes (k8s.io/apimachinery/pkg/api/resource).

A value is a fraction; what remains of how it was written is its format, which decides how it is printed:
`BinarySI` (Ki, Mi, …), `DecimalSI` (m, k, M, …) or `DecimalExponent` (1e3).
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from fractions import Fraction

BINARY_SI, DECIMAL_SI, DECIMAL_EXPONENT = "BinarySI", "DecimalSI", "DecimalExponent"
_PATTERN = re.compile(r"([+-]?)(\d*)(?:\.(\d*))?(Ki|Mi|Gi|Ti|Pi|Ei|[numkMGTPE]|[eE][+-]?\d{1,3})?")
_BINARY = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_DECIMAL_SUFFIX = {exponent: suffix for suffix, exponent in _DECIMAL.items()}
_BINARY_SUFFIX = {power: suffix for suffix, power in _BINARY.items()} | {0: ""}
_NANO = Fraction(1, 10**9)
MAX = 2**63 - 1

FORMAT_ERROR = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
PARSE_ERROR = "unable to parse quantity's suffix"


class QuantityError(ValueError):
    """Not a quantity; the message is Kubernetes'."""


@dataclass(frozen=True, slots=True)
class Quantity:
    """`Quantity.parse("100m")`. Comparison is of values: use `.number`."""

    number: Fraction
    format: str = DECIMAL_SI

    @classmethod
    def parse(cls, text: str) -> Quantity:
        """Raises QuantityError."""
        return _parse(text)

    @classmethod
    def of(cls, value: object) -> Quantity:
        """Of what stands in JSON: a string or a number."""
        return _parse(str(value))

    def value(self) -> int:
        """In units, rounded up (away from zero)."""
        return _ceil(self.number)

    def milli_value(self) -> int:
        """In thousandths, rounded up."""
        return _ceil(self.number * 1000)

    def __str__(self) -> str:
        return _canonical(self.number, self.format)

    def __add__(self, other: Quantity) -> Quantity:
        return Quantity(self.number + other.number, self.format if self.number else other.format)

    def __sub__(self, other: Quantity) -> Quantity:
        return Quantity(self.number - other.number, self.format if self.number else other.format)


ZERO = Quantity(Fraction(0))


def _ceil(number: Fraction) -> int:
    if number < 0:
        return -_ceil(-number)
    return -(-number.numerator // number.denominator)


@functools.lru_cache(maxsize=4096)
def _parse(text: str) -> Quantity:
    if not text:
        raise QuantityError(FORMAT_ERROR)
    match = _PATTERN.fullmatch(text)
    if match is None or not (match[2] or match[3]):
        odd_suffix = text.count(".") < 2 and re.match(r"[+-]?[\d.]*\d[\d.]*[a-zA-Z]+$", text)
        raise QuantityError(PARSE_ERROR if odd_suffix else FORMAT_ERROR)
    sign, whole, fraction, suffix = match[1], match[2], match[3] or "", match[4] or ""
    number = Fraction(int((whole or "0") + fraction), 10 ** len(fraction))
    if suffix in _BINARY:
        format_ = BINARY_SI
        number *= 1024 ** _BINARY[suffix]
    elif suffix and suffix[0] in "eE" and len(suffix) > 1:
        format_ = DECIMAL_EXPONENT
        number *= Fraction(10) ** int(suffix[1:])
    else:
        format_ = DECIMAL_SI
        number *= Fraction(10) ** _DECIMAL[suffix]
    # nothing finer than a nano, rounded up; nothing larger than 2^63 - 1
    if number.denominator != 1 and (number / _NANO).denominator != 1:
        number = _ceil(number / _NANO) * _NANO
    number = min(number, Fraction(MAX))
    if format_ == BINARY_SI and 0 < number < 1:
        format_ = DECIMAL_SI  # a fraction of a byte has no binary suffix
    return Quantity(-number if sign == "-" else number, format_)


def _canonical(number: Fraction, format_: str) -> str:
    if number == 0:
        return "0"
    if format_ == BINARY_SI:
        if -1024 < number < 1024 or number.denominator != 1:
            format_ = DECIMAL_SI
        else:
            value, power = abs(number.numerator), 0
            while value % 1024 == 0 and power < 6:
                value, power = value // 1024, power + 1
            return f"{'-' if number < 0 else ''}{value}{_BINARY_SUFFIX[power]}"
    sign, number = ("-", -number) if number < 0 else ("", number)
    exponent = 0
    while number.denominator != 1:
        number, exponent = number * 1000, exponent - 3
    value = number.numerator
    while value % 1000 == 0 and exponent < (18 if format_ == DECIMAL_SI else 10**6):
        value, exponent = value // 1000, exponent + 3
    if format_ == DECIMAL_EXPONENT:
        return f"{sign}{value}e{exponent}" if exponent else f"{sign}{value}"
    return f"{sign}{value}{_DECIMAL_SUFFIX[exponent]}"


@functools.lru_cache(maxsize=4096)
def canonical(text: str) -> str:
    """How the API server shows a quantity that a client wrote."""
    plain = str(_parse(text))
    if (text.isdigit() and text[0] == "0") or text.lower() == plain:
        return text  # "010" and "5E3" stay as they are
    return plain


def compare(left: object, right: object) -> int:
    """-1, 0 or 1."""
    a, b = Quantity.of(left).number, Quantity.of(right).number
    return (a > b) - (a < b)
