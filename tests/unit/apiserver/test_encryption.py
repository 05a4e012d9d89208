"""What the store holds of a secret cannot be read without its key; keys are rotated by a restart."""

from __future__ import annotations

import base64

import pytest

from pilothouse.apiserver.config import ADMIN, ApiConfig
from pilothouse.apiserver.encryption import Encryption, EncryptionError, new_configuration
from pilothouse.apiserver.server import ApiServer
from pilothouse.base.clock import RealClock
from pilothouse.base.random import Random
from pilothouse.client.local import LocalClient
from pilothouse.store.interface import StoreError
from pilothouse.store.memory import MemoryStore

KEY = "/registry/core/secrets/default/s"
SECRET = {"metadata": {"name": "s", "namespace": "default"}, "stringData": {"password": "hunter2"}}


def keys(*names: str, provider: str = "aesgcm") -> dict:
    secrets = [
        {"name": name, "secret": base64.b64encode(name.encode().ljust(32, b".")).decode()} for name in names
    ]
    providers = [{provider: {"keys": secrets}}, {"identity": {}}]
    return {
        "kind": "EncryptionConfiguration",
        "resources": [{"resources": ["secrets"], "providers": providers}],
    }


async def running(store: MemoryStore, configuration: dict | None) -> tuple[ApiServer, LocalClient]:
    encryption = Encryption(configuration) if configuration else None
    server = ApiServer(store, RealClock(), Random(7), ApiConfig(encryption=encryption))
    await server.start()
    return server, LocalClient(server, ADMIN)


@pytest.mark.parametrize("provider", ["aesgcm", "aescbc"])
async def test_a_secret_is_sealed_in_the_store_and_open_to_clients(provider):
    store = MemoryStore()
    server, client = await running(store, keys("k1", provider=provider))
    await client.create("secrets", SECRET)
    held = await store.get(KEY)
    assert held.value.startswith(f"k8s:enc:{provider}:v1:k1:".encode())
    assert b"password" not in held.value
    found = await client.get("secrets", "default", "s")
    assert base64.b64decode(found["data"]["password"]) == b"hunter2"
    await client.create("configmaps", {"metadata": {"name": "c", "namespace": "default"}})
    assert (await store.get("/registry/core/configmaps/default/c")).value.startswith(b"{")
    await server.stop()


async def test_after_a_rotation_the_new_key_is_enough():
    store = MemoryStore()
    server, client = await running(store, None)
    await client.create("secrets", SECRET)  # in the clear, before encryption was turned on
    await server.stop()
    for configuration in (keys("old"), keys("new", "old"), keys("new")):
        server, client = await running(store, configuration)
        first = configuration["resources"][0]["providers"][0]["aesgcm"]["keys"][0]["name"]
        assert (await store.get(KEY)).value.startswith(f"k8s:enc:aesgcm:v1:{first}:".encode())
        assert (await client.get("secrets", "default", "s"))["data"]
        await server.stop()


async def test_without_its_key_a_secret_stays_shut_and_the_start_says_which():
    store = MemoryStore()
    server, client = await running(store, keys("lost"))
    await client.create("secrets", SECRET)
    await server.stop()
    with pytest.raises(StoreError, match="sealed with a key that is not configured: k8s:enc:aesgcm:v1:lost:"):
        await running(store, keys("other"))


def test_a_value_moved_to_another_place_does_not_open():
    encryption = Encryption(new_configuration(["secrets"]))
    sealed = encryption.seal("secrets", "/registry/core/secrets/a/x", b"{}")
    assert encryption.open("/registry/core/secrets/a/x", sealed) == b"{}"
    with pytest.raises(StoreError):
        encryption.open("/registry/core/secrets/b/x", sealed)


def test_a_key_of_the_wrong_size_is_refused_with_its_place():
    configuration = keys("k1")
    configuration["resources"][0]["providers"][0]["aesgcm"]["keys"][0]["secret"] = "YWJj"
    with pytest.raises(EncryptionError, match=r"resources\[0\].providers\[0\].aesgcm.keys\[0\].secret"):
        Encryption(configuration)
