"""`create configmap` and `create secret`: keys and values from literals, files, folders and env files."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
from pathlib import Path

from ..api.object import Object
from .create import creates, group_of
from .errors import Failure
from .jsonpath import go_json
from .verb import Call, flag, many, text

FROM = (
    many("--from-file", split=True, help="[KEY=]FILE, or a folder of files."),
    many("--from-literal", help="KEY=VALUE"),
    many("--from-env-file", split=True, help="A file of KEY=VALUE lines."),
)
HASH = (flag("--append-hash", help="A hash of the content at the name's end."),)
KEY_RULE = (
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or "
    "'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
)


def _data(call: Call, kind: str) -> dict[str, bytes]:
    options = call.options
    if options.from_env_file and (options.from_file or options.from_literal):
        raise Failure("from-env-file cannot be combined with from-file or from-literal")
    data: dict[str, bytes] = {}

    def add(key: str, value: bytes) -> None:
        if not re.fullmatch(r"[-._a-zA-Z0-9]{1,253}", key) or key in (".", ".."):
            valid = (
                "a valid key name for a ConfigMap:" if kind == "ConfigMap" else "valid key name for a Secret"
            )
            raise Failure(f'"{key}" is not {valid} {KEY_RULE}')
        if key in data:
            if kind == "Secret":
                raise Failure(f"cannot add key {key}, another key by that name already exists")
            raise Failure(
                f'cannot add key "{key}", another key by that name already exists in Data for ConfigMap "{call.words[0]}"'
            )
        data[key] = value

    for word in options.from_literal:
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise Failure(f"invalid literal source {word}, expected key=value")
        add(key, _unquoted(value).encode())
    for word in options.from_file:
        key, equals, name = word.partition("=")
        if "=" in name:
            raise Failure("key names or file paths cannot contain '='")
        if equals and (not key or not name):
            raise Failure(
                f"key name for file path {name} missing"
                if not key
                else f"file path for key name {key} missing"
            )
        file = Path(name if equals else word)
        if not file.exists():
            raise Failure(f"error reading {file}: no such file or directory")
        if file.is_dir():
            if equals:
                raise Failure("cannot give a key name for a directory path")
            for entry in sorted(file.iterdir()):
                if (
                    entry.is_file()
                    and not entry.is_symlink()
                    and re.fullmatch(r"[-._a-zA-Z0-9]+", entry.name)
                ):
                    add(entry.name, entry.read_bytes())
        else:
            add(key if equals else file.name, file.read_bytes())
    for name in options.from_env_file:
        if not Path(name).exists():
            raise Failure(f"error reading {name}: no such file or directory")
        for key, value in env_lines(Path(name).read_text()):
            add(key, value.encode())
    return data


def _unquoted(value: str) -> str:
    if len(value) >= 2 and value[0] == value[-1] and value[0] in "'\"":
        return value[1:-1]
    return value


def env_lines(text_: str) -> list[tuple[str, str]]:
    """KEY=VALUE lines; a bare KEY takes its value from this process's environment."""
    found = []
    for line in text_.removeprefix("\ufeff").splitlines():
        line = line.lstrip()
        if not line or line.startswith("#"):
            continue
        key, equals, value = line.partition("=")
        if not re.fullmatch(r"[^=\s0-9][^=\s]*", key):
            raise Failure(
                f'"{key}" is not a valid key name: a valid environment variable name must consist only of printable '
                "ASCII characters other than '='"
            )
        if equals:
            found.append((key, value))
        else:
            found.append((key, os.environ.get(key, "")))
    return found


def _encoded(data: dict[str, bytes]) -> dict[str, str]:
    return {key: base64.b64encode(value).decode() for key, value in data.items()}


def _hashed(name: str, body: Object) -> str:
    """kubectl's --append-hash: the first 40 bits, spelled without vowels."""
    digits = hashlib.sha256(go_json(body).encode()).hexdigest()[:10]
    return f"{name}-{digits.translate(str.maketrans('013ae', 'ghkmt'))}"


@creates(
    "configmap",
    "cm",
    flags=(*FROM, *HASH),
    help="Create a config map.",
    failed="failed to create configmap: ",
)
def configmap(call: Call, name: str) -> Object:
    plain: dict[str, str] = {}
    binary: dict[str, bytes] = {}
    for key, value in _data(call, "ConfigMap").items():
        try:
            plain[key] = value.decode()
        except UnicodeDecodeError:
            binary[key] = value
    made: Object = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}
    if plain:
        made["data"] = plain
    if binary:
        made["binaryData"] = _encoded(binary)
    if call.options.append_hash:
        body: Object = {"kind": "ConfigMap", "name": name, "data": plain}
        if binary:
            body["binaryData"] = made["binaryData"]
        made["metadata"]["name"] = _hashed(name, body)
    return made


secret = group_of("secret", help="Create a secret: generic, tls or docker-registry.")


def _secret(call: Call, name: str, type_: str, data: dict[str, bytes]) -> Object:
    made: Object = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}}
    if type_:
        made["type"] = type_
    if data:
        made["data"] = _encoded(data)
    if call.options.append_hash:
        body = {"kind": "Secret", "type": type_, "name": name, "data": made.get("data", {})}
        made["metadata"]["name"] = _hashed(name, body)
    return made


@creates(
    "generic",
    flags=(*FROM, *HASH, text("--type", help="The secret's type.")),
    help="A secret of keys and values.",
    failed="failed to create secret ",
    under=secret,
)
def generic(call: Call, name: str) -> Object:
    return _secret(call, name, call.options.type, _data(call, "Secret"))


@creates(
    "tls",
    flags=(*HASH, text("--cert", help="The certificate's file."), text("--key", help="The key's file.")),
    help="A certificate and its key.",
    failed="failed to create secret ",
    under=secret,
)
def tls(call: Call, name: str) -> Object:
    import ssl

    certificate, key = call.options.cert, call.options.key
    if not certificate or not key:
        raise Failure("key and cert must be specified")
    for file in (certificate, key):
        if not Path(file).is_file():
            raise Failure(f"Cannot read file {file}, open {file}: no such file or directory")
    if "-----BEGIN" not in Path(certificate).read_text(errors="replace"):
        raise Failure("tls: failed to find any PEM data in certificate input")
    if "-----BEGIN" not in Path(key).read_text(errors="replace"):
        raise Failure("tls: failed to find any PEM data in key input")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
    except ssl.SSLError as error:
        raise Failure(f"tls: failed to load the key pair: {error.reason or error}")
    data = {"tls.crt": Path(certificate).read_bytes(), "tls.key": Path(key).read_bytes()}
    return _secret(call, name, "kubernetes.io/tls", data)


@creates(
    "docker-registry",
    flags=(
        *FROM[:1],
        *HASH,
        text("--docker-username", help="User of the registry."),
        text("--docker-password", help="The user's password."),
        text("--docker-email", help="The user's address."),
        text("--docker-server", default="https://index.docker.io/v1/", help="The registry."),
    ),
    help="What a registry asks for before it gives images.",
    failed="failed to create secret ",
    under=secret,
)
def docker_registry(call: Call, name: str) -> Object:
    options = call.options
    if options.from_file:
        data = {}
        for word in options.from_file:
            key, equals, file = word.partition("=")
            data[key if equals else ".dockerconfigjson"] = Path(file if equals else word).read_bytes()
        return _secret(call, name, "kubernetes.io/dockerconfigjson", data)
    if not (options.docker_username and options.docker_password and options.docker_server):
        raise Failure(
            "either --from-file or the combination of --docker-username, --docker-password and --docker-server is required"
        )
    auth = base64.b64encode(f"{options.docker_username}:{options.docker_password}".encode()).decode()
    entry = {"username": options.docker_username, "password": options.docker_password}
    entry |= {"email": options.docker_email, "auth": auth} if options.docker_email else {"auth": auth}
    content = json.dumps({"auths": {options.docker_server: entry}}, separators=(",", ":"))
    return _secret(call, name, "kubernetes.io/dockerconfigjson", {".dockerconfigjson": content.encode()})
