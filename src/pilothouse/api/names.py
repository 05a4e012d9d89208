"""What names, labels and keys may look like, with Kubernetes' own messages (apimachinery/pkg/util/validation).

Each check returns the messages of what is wrong, [] for a good value.
"""

from __future__ import annotations

import ipaddress
import re

LABEL_LENGTH_MAX = 63
SUBDOMAIN_LENGTH_MAX = 253

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LABEL_1035 = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_QUALIFIED = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")
_VALUE = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")
_CONFIG_KEY = re.compile(r"[-._a-zA-Z0-9]+")
_ENV_NAME = re.compile(r"[-._a-zA-Z][-._a-zA-Z0-9]*")
_PORT_NAME = re.compile(r"[-a-z0-9]+")
_HTTP_HEADER = re.compile(r"[-A-Za-z0-9]+")
_SUBDOMAIN_UNDERSCORE = re.compile(r"_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?(\._?[a-z0-9]([-_a-z0-9]*[a-z0-9])?)*")
_C_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PERCENT = re.compile(r"[0-9]+%")
_PATH_SEGMENT_BAD = ("/", "%")


def too_long(length: int, unit: str = "characters") -> str:
    """Label keys and values are measured in "bytes"; it is the same, since they are ASCII."""
    return f"must be no more than {length} {unit}"


def _regex(message: str, pattern: str, *examples: str) -> str:
    if not examples:
        return f"{message} (regex used for validation is '{pattern}')"
    shown = " or ".join(f"'{example}'" for example in examples)
    return f"{message} (e.g. {shown}, regex used for validation is '{pattern}')"


_LABEL_ERROR = _regex(
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end "
    "with an alphanumeric character",
    "[a-z0-9]([-a-z0-9]*[a-z0-9])?",
    "my-name",
    "123-abc",
).replace("'my-name' or '123-abc'", "'my-name',  or '123-abc'")
_SUBDOMAIN_ERROR = _regex(
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start "
    "and end with an alphanumeric character",
    r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*",
    "example.com",
)
_LABEL_1035_ERROR = _regex(
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, "
    "and end with an alphanumeric character",
    "[a-z]([-a-z0-9]*[a-z0-9])?",
    "my-name",
    "abc-123",
).replace("'my-name' or 'abc-123'", "'my-name',  or 'abc-123'")
_QUALIFIED_ERROR = _regex(
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character",
    "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]",
    "MyName",
    "my.name",
    "123-abc",
).replace("'MyName' or 'my.name' or '123-abc'", "'MyName',  or 'my.name',  or '123-abc'")
_VALUE_ERROR = _regex(
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
    "end with an alphanumeric character",
    "(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?",
    "MyValue",
    "my_value",
    "12345",
).replace("'MyValue' or 'my_value' or '12345'", "'MyValue',  or 'my_value',  or '12345'")


def dns1123_label(value: str) -> list[str]:
    errors = [too_long(LABEL_LENGTH_MAX)] if len(value) > LABEL_LENGTH_MAX else []
    if not _LABEL.fullmatch(value):
        errors.append(_SUBDOMAIN_WITHOUT_DOTS if _SUBDOMAIN.fullmatch(value) else _LABEL_ERROR)
    return errors


_SUBDOMAIN_WITHOUT_DOTS = "must not contain dots"


def dns1123_subdomain(value: str) -> list[str]:
    errors = [too_long(SUBDOMAIN_LENGTH_MAX)] if len(value) > SUBDOMAIN_LENGTH_MAX else []
    if not _SUBDOMAIN.fullmatch(value):
        errors.append(_SUBDOMAIN_ERROR)
    return errors


def dns1123_subdomain_with_underscore(value: str) -> list[str]:
    errors = [too_long(SUBDOMAIN_LENGTH_MAX)] if len(value) > SUBDOMAIN_LENGTH_MAX else []
    if not _SUBDOMAIN_UNDERSCORE.fullmatch(value):
        errors.append(
            _SUBDOMAIN_ERROR.replace("characters, '-'", "characters, '_', '-'").partition(" (e.g.")[0]
            + f" (e.g. 'example.com', regex used for validation is '{_SUBDOMAIN_UNDERSCORE.pattern}')"
        )
    return errors


def dns1035_label(value: str) -> list[str]:
    errors = [too_long(LABEL_LENGTH_MAX)] if len(value) > LABEL_LENGTH_MAX else []
    if not _LABEL_1035.fullmatch(value):
        errors.append(_LABEL_1035_ERROR)
    return errors


def qualified_name(value: str) -> list[str]:
    """`example.com/name`: the form of label and annotation keys, finalizers, resource names."""
    parts = value.split("/")
    errors: list[str] = []
    if len(parts) == 1:
        name = parts[0]
    elif len(parts) == 2:
        prefix, name = parts
        if not prefix:
            errors.append("prefix part must be non-empty")
        else:
            errors += [
                f"prefix part {message}".replace("characters", "bytes")
                if message.startswith("must be no more")
                else f"prefix part {message}"
                for message in dns1123_subdomain(prefix)
            ]
    else:
        suffix = " with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
        return ["a valid label key " + _QUALIFIED_ERROR + suffix]
    if not name:
        errors.append("name part must be non-empty")
    elif len(name) > LABEL_LENGTH_MAX:
        errors.append("name part " + too_long(LABEL_LENGTH_MAX, "bytes"))
    if not _QUALIFIED.fullmatch(name):
        errors.append("name part " + _QUALIFIED_ERROR)
    return errors


def label_value(value: str) -> list[str]:
    errors = [too_long(LABEL_LENGTH_MAX, "bytes")] if len(value) > LABEL_LENGTH_MAX else []
    if not _VALUE.fullmatch(value):
        errors.append(_VALUE_ERROR)
    return errors


def config_map_key(value: str) -> list[str]:
    errors = [too_long(SUBDOMAIN_LENGTH_MAX)] if len(value) > SUBDOMAIN_LENGTH_MAX else []
    if not _CONFIG_KEY.fullmatch(value):
        errors.append(
            "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or "
            "'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
        )
    return errors + _dots(value) if value[:1] == "." else errors


def _dots(value: str) -> list[str]:
    if value == ".":
        return ["must not be '.'"]
    if value == "..":
        return ["must not be '..'"]
    return ["must not start with '..'"] if value.startswith("..") else []


def env_var_name(value: str) -> list[str]:
    """Since 1.32 (RelaxedEnvironmentVariableValidation): printable ASCII but '='."""
    if not value:
        return ["environment variable name must be non-empty"]
    if any(not 0x20 <= ord(char) <= 0x7E or char == "=" for char in value):
        return [
            "a valid environment variable name must consist only of printable ASCII characters other than '='"
        ]
    return []


def port_name(value: str) -> list[str]:
    errors = []
    if len(value) > 15:
        errors.append("must be no more than 15 characters")
    if not _PORT_NAME.fullmatch(value):
        errors.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not any("a" <= char <= "z" for char in value):
        errors.append("must contain at least one letter (a-z)")
    if "--" in value:
        errors.append("must not contain consecutive hyphens")
    if value and (value[0] == "-" or value[-1] == "-"):
        errors.append("must not begin or end with a hyphen")
    return errors


def http_header_name(value: str) -> list[str]:
    if _HTTP_HEADER.fullmatch(value):
        return []
    return [
        "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for "
        "validation is '[-A-Za-z0-9]+')"
    ]


def in_range(value: int, low: int, high: int) -> list[str]:
    return [] if low <= value <= high else [f"must be between {low} and {high}, inclusive"]


def port_number(value: int) -> list[str]:
    return [] if 1 <= value <= 65535 else ["must be between 1 and 65535, inclusive"]


def percent(value: str) -> list[str]:
    if _PERCENT.fullmatch(value):
        return []
    return [
        "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used "
        "for validation is '[0-9]+%')"
    ]


def path_segment(value: str) -> list[str]:
    """What may stand in a URL as one segment: the loosest rule for names."""
    if value in (".", ".."):
        return [f"may not be '{value}'"]
    return [f"may not contain '{bad}'" for bad in _PATH_SEGMENT_BAD if bad in value]


def ip(value: str) -> list[str]:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return ["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"]
    return []


def c_identifier(value: str) -> list[str]:
    if _C_IDENTIFIER.fullmatch(value):
        return []
    return [
        "a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric "
        "characters or '_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName', regex used for validation is "
        "'[A-Za-z_][A-Za-z0-9_]*')"
    ]
