"""What a kubelet may read follows from the pods on its node, as they come and go."""

from __future__ import annotations

import base64

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from pilothouse.api.errors import ApiError
from pilothouse.apiserver.admission.node_restriction import MIRROR, _api_reference
from pilothouse.apiserver.config import ADMIN, ApiConfig
from pilothouse.apiserver.request import User
from pilothouse.apiserver.server import ApiServer
from pilothouse.base.clock import RealClock
from pilothouse.base.random import Random
from pilothouse.client.local import LocalClient
from pilothouse.store.memory import MemoryStore

KUBELET = User("system:node:n1", ("system:nodes", "system:authenticated"))


@pytest.fixture
async def server():
    server = ApiServer(MemoryStore(), RealClock(), Random(7), ApiConfig())
    await server.start()
    admin = LocalClient(server, ADMIN)
    for name in ("n1", "n2"):
        await admin.create("nodes", {"metadata": {"name": name}})
    for name in ("used", "other"):
        await admin.create("secrets", {"metadata": {"name": name, "namespace": "default"}})
    yield server
    await server.stop()


def pod(name: str, node: str, secret: str) -> dict:
    return {
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "nodeName": node,
            "automountServiceAccountToken": False,
            "containers": [{"name": "c", "image": "i"}],
            "volumes": [{"name": "s", "secret": {"secretName": secret}}],
        },
    }


async def test_a_secret_can_be_read_while_a_pod_of_the_node_uses_it(server):
    admin, kubelet = LocalClient(server, ADMIN), LocalClient(server, KUBELET)
    await admin.create("serviceaccounts", {"metadata": {"name": "default", "namespace": "default"}})
    with pytest.raises(ApiError, match="no relationship found between node 'n1' and this object"):
        await kubelet.get("secrets", "default", "used")
    await admin.create("pods", pod("mine", "n1", "used"))
    await admin.create("pods", pod("theirs", "n2", "other"))
    assert (await kubelet.get("secrets", "default", "used"))["metadata"]["name"] == "used"
    with pytest.raises(ApiError, match="no relationship"):
        await kubelet.get("secrets", "default", "other")
    await admin.delete("pods", "default", "mine", grace_period_s=0)
    with pytest.raises(ApiError, match="no relationship"):
        await kubelet.get("secrets", "default", "used")


async def test_a_kubelet_lists_only_the_pods_that_are_bound_to_it(server):
    kubelet = LocalClient(server, KUBELET)
    with pytest.raises(ApiError, match="can only list/watch pods with spec.nodeName field selector"):
        await kubelet.list("pods")


async def test_a_kubelet_writes_no_other_node(server):
    kubelet = LocalClient(server, KUBELET)
    patch = {"metadata": {"labels": {"a": "b"}}}
    with pytest.raises(ApiError, match='node "n1" is not allowed to modify node "n2"'):
        await kubelet.patch("nodes", "", "n2", patch, type="merge")
    with pytest.raises(ApiError, match="is not allowed to modify labels: node-restriction.kubernetes.io/x"):
        labels = {"node-restriction.kubernetes.io/x": "y"}
        await kubelet.patch("nodes", "", "n1", {"metadata": {"labels": labels}}, type="merge")


async def test_with_the_selector_it_may(server):
    kubelet = LocalClient(server, KUBELET)
    assert (await kubelet.list("pods", field_selector="spec.nodeName=n1")).items == []


@pytest.mark.parametrize(
    ("spec", "refers_to"),
    [
        ({"volumes": [{"name": "v", "emptyDir": {}}, {"name": "w", "hostPath": {"path": "/"}}]}, ""),
        ({"serviceAccountName": "a"}, "serviceaccounts"),
        ({"imagePullSecrets": [{"name": "s"}]}, "secrets"),
        ({"volumes": [{"name": "v", "azureFile": {"secretName": "s"}}]}, "secrets"),
        ({"containers": [{"envFrom": [{"configMapRef": {"name": "c"}}]}]}, "configmaps"),
        ({"resourceClaims": [{"name": "r", "resourceClaimName": "x"}]}, "resourceclaims"),
        ({"volumes": [{"name": "v", "csi": {"driver": "d"}}]}, "csidrivers (via CSI volumes)"),
        ({"volumes": [{"name": "v", "ephemeral": {}}]}, "persistentvolumeclaims (via ephemeral volumes)"),
        (
            {"volumes": [{"name": "v", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}]},
            "serviceaccounts (via projected volumes)",
        ),
    ],
)
def test_what_a_mirror_pod_may_not_refer_to(spec, refers_to):
    pod = {"metadata": {"name": "p", "namespace": "a", "annotations": {MIRROR: "x"}}, "spec": spec}
    assert _api_reference(pod) == refers_to


async def test_a_kubelet_offers_only_its_own_devices(server):
    kubelet = LocalClient(server, KUBELET)
    pool = {"name": "p", "generation": 1, "resourceSliceCount": 1}
    made = {"metadata": {"name": "s"}, "spec": {"driver": "d.example.com", "pool": pool, "nodeName": "n2"}}
    with pytest.raises(
        ApiError, match="can only create ResourceSlice with the same NodeName as the requesting"
    ):
        await kubelet.create("resourceslices.resource.k8s.io", made)
    made["spec"]["nodeName"] = "n1"
    await kubelet.create("resourceslices.resource.k8s.io", made)


async def test_a_kubelet_asks_for_no_other_nodes_certificate(server):
    kubelet = LocalClient(server, KUBELET)
    signer = "kubernetes.io/kubelet-serving"
    spec = {"signerName": signer, "request": "bm90aGluZw==", "usages": ["server auth", "digital signature"]}
    for request, told in (
        ("bm90aGluZw==", "unable to parse csr: PEM block type must be CERTIFICATE REQUEST"),
        (certificate_request("system:node:n2"), "can only create a node CSR with CN=system:node:n1"),
    ):
        with pytest.raises(ApiError, match=told):
            made = {"metadata": {"name": "c"}, "spec": {**spec, "request": request}}
            await kubelet.create("certificatesigningrequests.certificates.k8s.io", made)


def certificate_request(name: str) -> str:
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    made = builder.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    return base64.b64encode(made.public_bytes(serialization.Encoding.PEM)).decode()
