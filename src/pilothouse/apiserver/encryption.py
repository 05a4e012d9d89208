"""Encryption at rest: what the store holds of secrets (and of whatever else is asked for), by Kubernetes' EncryptionConfiguration.

A value is sealed as `k8s:enc:<provider>:v1:<key name>:` and the cipher's bytes, as by a kube-apiserver. The first key of the first provider writes, all of
them read: so a key is rotated by putting a new one first and starting the server again, which writes anew what is not sealed by it
(`stale`), and taking the old one out the next time.
Providers: aesgcm, aescbc, identity. (https://kubernetes.io/docs/tasks/administer-cluster/encrypt-data/)
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ..api.object import Object
from ..base.random import secret_bytes
from ..store.interface import StoreError

PREFIX = b"k8s:enc:"
NONCE_BYTES, BLOCK_BYTES = 12, 16


class EncryptionError(ValueError):
    """The configuration is no good; the message says where."""


class _Cipher(Protocol):
    def seal(self, data: bytes, name: bytes) -> bytes: ...
    def open(self, data: bytes, name: bytes) -> bytes: ...


class _AesGcm:
    def __init__(self, key: bytes):
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        self._cipher = AESGCM(key)

    def seal(self, data: bytes, name: bytes) -> bytes:
        nonce = secret_bytes(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, data, name)

    def open(self, data: bytes, name: bytes) -> bytes:
        return bytes(self._cipher.decrypt(data[:NONCE_BYTES], data[NONCE_BYTES:], name))


class _AesCbc:
    def __init__(self, key: bytes):
        self._key = key

    def _cipher(self, vector: bytes) -> Any:
        from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

        return Cipher(algorithms.AES(self._key), modes.CBC(vector))

    def seal(self, data: bytes, name: bytes) -> bytes:
        vector = secret_bytes(BLOCK_BYTES)
        padding = BLOCK_BYTES - len(data) % BLOCK_BYTES
        encryptor = self._cipher(vector).encryptor()
        return bytes(vector + encryptor.update(data + bytes([padding]) * padding) + encryptor.finalize())

    def open(self, data: bytes, name: bytes) -> bytes:
        decryptor = self._cipher(data[:BLOCK_BYTES]).decryptor()
        plain = bytes(decryptor.update(data[BLOCK_BYTES:]) + decryptor.finalize())
        if not plain or not 1 <= plain[-1] <= BLOCK_BYTES:
            raise ValueError("bad padding")
        return plain[: -plain[-1]]


_CIPHERS: dict[str, type[_AesGcm] | type[_AesCbc]] = {"aesgcm": _AesGcm, "aescbc": _AesCbc}


@dataclass(frozen=True, slots=True)
class _Key:
    prefix: bytes  # "" for identity
    cipher: _Cipher | None


class Encryption:
    """Raises EncryptionError for a configuration that cannot be used."""

    def __init__(self, configuration: Object):
        if configuration.get("kind") != "EncryptionConfiguration":
            raise EncryptionError("kind must be EncryptionConfiguration")
        self._writers: dict[str, _Key] = {}
        self._readers: dict[bytes, _Key] = {}
        for index, entry in enumerate(configuration.get("resources") or ()):
            keys = [
                key
                for number, provider in enumerate(entry.get("providers") or ())
                for key in _keys(provider, f"resources[{index}].providers[{number}]")
            ]
            if not keys:
                raise EncryptionError(f"resources[{index}].providers: at least one is needed")
            for resource in entry.get("resources") or ():
                self._writers.setdefault(resource, keys[0])
            for key in keys:
                self._readers.setdefault(key.prefix, key)

    @classmethod
    def from_file(cls, path: str | Path) -> Encryption:
        import yaml

        try:
            return cls(yaml.safe_load(Path(path).read_text()) or {})
        except (yaml.YAMLError, EncryptionError) as error:
            raise EncryptionError(f"{path}: {error}") from None

    def _writer(self, resource: str) -> _Key | None:
        group = resource.partition(".")[2]
        for name in (resource, f"*.{group}", "*.*"):
            if name in self._writers:
                return self._writers[name]
        return None

    def seal(self, resource: str, name: str, value: bytes) -> bytes:
        """`name`: the store's key, to which the value is bound."""
        key = self._writer(resource)
        if key is None or key.cipher is None:
            return value
        return key.prefix + key.cipher.seal(value, name.encode())

    def open(self, name: str, data: bytes) -> bytes:
        if not data.startswith(PREFIX):
            return data
        end = 0
        for _ in range(5):  # k8s:enc:<provider>:v1:<key name>:
            end = data.find(b":", end) + 1
        key = self._readers.get(data[:end])
        if key is None or key.cipher is None:
            raise StoreError(f"{name} is sealed with a key that is not configured: {data[:end].decode()}")
        from cryptography.exceptions import InvalidTag

        try:
            return key.cipher.open(data[end:], name.encode())
        except (InvalidTag, ValueError) as error:
            raise StoreError(f"{name} cannot be opened with its key: {error}") from error

    def stale(self, resource: str, data: bytes) -> bool:
        """Whether it was not written by the key that writes now."""
        key = self._writer(resource)
        wanted = key.prefix if key is not None else b""
        return not data.startswith(wanted) if wanted else data.startswith(PREFIX)

    def resources(self) -> list[str]:
        return list(self._writers)


def _keys(provider: Object, where: str) -> list[_Key]:
    if len(provider) != 1:
        raise EncryptionError(f"{where}: exactly one provider must be given")
    ((name, value),) = provider.items()
    if name == "identity":
        return [_Key(b"", None)]
    cipher = _CIPHERS.get(name)
    if cipher is None:
        raise EncryptionError(f"{where}: {name} is not supported; {', '.join([*_CIPHERS, 'identity'])} are")
    keys = []
    for index, entry in enumerate((value or {}).get("keys") or ()):
        place = f"{where}.{name}.keys[{index}]"
        if not entry.get("name") or ":" in entry["name"]:
            raise EncryptionError(f"{place}.name: is required, and must not have a ':'")
        try:
            secret = base64.b64decode(entry.get("secret") or "", validate=True)
        except binascii.Error:
            raise EncryptionError(f"{place}.secret: must be base64") from None
        if len(secret) not in (16, 24, 32):
            raise EncryptionError(f"{place}.secret: must have 16, 24 or 32 bytes, not {len(secret)}")
        keys.append(_Key(f"k8s:enc:{name}:v1:{entry['name']}:".encode(), cipher(secret)))
    if not keys:
        raise EncryptionError(f"{where}.{name}.keys: at least one is needed")
    return keys


def new_configuration(resources: list[str]) -> Object:
    """One fresh AES-GCM key for these resources; what is not sealed yet can still be read."""
    secret = base64.b64encode(secret_bytes(32)).decode()
    providers = [{"aesgcm": {"keys": [{"name": "key1", "secret": secret}]}}, {"identity": {}}]
    return {
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "EncryptionConfiguration",
        "resources": [{"resources": resources, "providers": providers}],
    }
