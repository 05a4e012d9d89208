"""Who may approve and sign is granted by signer; nobody asks for system:masters."""

import base64

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from pilothouse.api.errors import ApiError
from pilothouse.apiserver.config import ADMIN, ApiConfig
from pilothouse.apiserver.request import User
from pilothouse.apiserver.server import ApiServer
from pilothouse.base.clock import VirtualClock
from pilothouse.base.random import Random
from pilothouse.client.local import LocalClient
from pilothouse.store.memory import MemoryStore

RESOURCE = "certificatesigningrequests.certificates.k8s.io"
CLIENT = "kubernetes.io/kube-apiserver-client"
APPROVED = {"conditions": [{"type": "Approved", "status": "True", "reason": "r", "message": "m"}]}


def request(signer, organization="o"):
    name = x509.Name([x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, organization)])
    made = x509.CertificateSigningRequestBuilder().subject_name(name)
    pem = made.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256()).public_bytes(
        serialization.Encoding.PEM
    )
    spec = {"request": base64.b64encode(pem).decode(), "signerName": signer, "usages": ["client auth"]}
    return {"metadata": {"name": "r"}, "spec": spec}


@pytest.fixture
async def server():
    server = ApiServer(MemoryStore(), VirtualClock(), Random(1), ApiConfig())
    await server.start()
    yield server
    await server.stop()


async def test_nobody_asks_for_masters_of_the_clusters_own_signer(server):
    client = LocalClient(server, ADMIN)
    with pytest.raises(ApiError) as refused:
        await client.create(RESOURCE, request(CLIENT, "system:masters"))
    assert refused.value.message.endswith(f"use of {CLIENT} signer with system:masters group is not allowed")
    assert await client.create(RESOURCE, request("example.com/s", "system:masters"))


@pytest.mark.parametrize(
    ("signer", "permitted"), [("example.com/s", True), ("example.com/t", True), ("example.org/s", False)]
)
async def test_approval_is_permitted_by_signer_or_by_its_domain(server, signer, permitted):
    admin, approver = LocalClient(server, ADMIN), LocalClient(server, User("approver"))
    rules = [
        {
            "apiGroups": ["certificates.k8s.io"],
            "resources": ["certificatesigningrequests/approval"],
            "verbs": ["update"],
        },
        {
            "apiGroups": ["certificates.k8s.io"],
            "resources": ["signers"],
            "resourceNames": ["example.com/*"],
            "verbs": ["approve"],
        },
    ]
    group = "rbac.authorization.k8s.io"
    await admin.create(f"clusterroles.{group}", {"metadata": {"name": "approver"}, "rules": rules})
    binding = {
        "metadata": {"name": "approver"},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "approver"},
        "subjects": [{"apiGroup": group, "kind": "User", "name": "approver"}],
    }
    await admin.create(f"clusterrolebindings.{group}", binding)
    made = await admin.create(RESOURCE, request(signer))
    approval = approver.update(RESOURCE, {**made, "status": APPROVED}, subresource="approval")
    if permitted:
        assert (await approval)["status"]["conditions"][0]["type"] == "Approved"
    else:
        with pytest.raises(ApiError) as refused:
            await approval
        why = f'user not permitted to approve requests with signerName "{signer}"'
        assert refused.value.code == 403 and refused.value.message.endswith(why)
