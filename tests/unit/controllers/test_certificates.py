"""Certificates for those whose request was approved."""

from __future__ import annotations

import base64
import datetime
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pilothouse.controllers.certificates import Refused, sign

NAMES = ["certificatesigningrequest-signing", "certificatesigningrequest-cleaner"]
CSR = "certificatesigningrequests.certificates.k8s.io"
CLIENT = "kubernetes.io/kube-apiserver-client"
KUBELET = "kubernetes.io/kube-apiserver-client-kubelet"
SERVING = "kubernetes.io/kubelet-serving"
START = 1767225600.0


def _ca() -> tuple[str, str]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ca")])
    begin = datetime.datetime.fromtimestamp(START - 86400, datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(begin)
        .not_valid_after(begin + datetime.timedelta(days=3650))
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return certificate.public_bytes(serialization.Encoding.PEM).decode(), private.decode()


CA = _ca()


def request(name: str = "me", *organizations: str, dns: str = "") -> str:
    attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, o) for o in organizations]
    subject = x509.Name([*attributes, x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    if dns:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(dns)]), critical=False)
    pem = builder.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256()).public_bytes(
        serialization.Encoding.PEM
    )
    return base64.b64encode(pem).decode()


def csr(signer: str, text: str, *usages: str, **spec: Any) -> dict[str, Any]:
    return {"spec": {"signerName": signer, "request": text, "usages": list(usages), **spec}}


def test_a_client_certificate_has_the_names_usages_and_time_that_were_asked_for():
    pem = sign(
        csr(CLIENT, request("me", "us"), "client auth", "digital signature", expirationSeconds=3600),
        CA,
        7,
        START,
    )
    made = x509.load_pem_x509_certificate(pem.encode())
    assert made.subject.rfc4514_string() == "CN=me,O=us"
    assert made.serial_number == 7
    assert made.not_valid_before_utc.timestamp() == START - 300
    assert made.not_valid_after_utc.timestamp() == START + 3600
    long = sign(csr(CLIENT, request(), "client auth", expirationSeconds=8 * 3600), CA, 7, START)
    end = x509.load_pem_x509_certificate(long.encode()).not_valid_after_utc.timestamp()
    assert end == START + 8 * 3600 - 300
    usages = made.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usages) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    key_usage = made.extensions.get_extension_for_class(x509.KeyUsage).value
    assert (key_usage.digital_signature, key_usage.key_encipherment) == (True, False)
    made.verify_directly_issued_by(x509.load_pem_x509_certificate(CA[0].encode()))


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        (csr(CLIENT, request(), "server auth"), "^invalid usage for client certificate: server auth$"),
        (
            csr(CLIENT, request(), "digital signature"),
            "^missing required usage for client certificate: client auth$",
        ),
        (
            csr(KUBELET, request("system:node:a", "system:nodes"), "client auth"),
            r"^usages did not match \[client auth digital signature key encipherment\]$",
        ),
        (
            csr(KUBELET, request("system:node:a"), "client auth", "digital signature"),
            "subject organization is not system:nodes",
        ),
        (
            csr(KUBELET, request("a", "system:nodes"), "client auth", "digital signature"),
            "subject common name does not begin with system:node: ",
        ),
        (
            csr(
                KUBELET, request("system:node:a", "system:nodes", dns="a"), "client auth", "digital signature"
            ),
            "DNS subjectAltNames are not allowed",
        ),
        (
            csr(SERVING, request("system:node:a", "system:nodes"), "server auth", "digital signature"),
            "DNS or IP subjectAltName is required",
        ),
    ],
)
def test_a_signer_refuses_what_is_not_for_it(asked, why):
    with pytest.raises(Refused, match=why):
        sign(asked, CA, 1, START)


def approved(when: str = "2026-01-01T00:00:00Z", type_: str = "Approved") -> dict[str, Any]:
    return {"conditions": [{"type": type_, "status": "True", "reason": "r", "lastUpdateTime": when}]}


def test_only_what_is_approved_is_signed_and_what_cannot_be_signed_says_why(run):
    async def story(w):
        good, bad = csr(CLIENT, request(), "client auth"), csr(CLIENT, request(), "server auth")
        await w.apply(CSR, "waiting", **good)
        await w.apply(CSR, "good", **good, status=approved())
        await w.apply(CSR, "bad", **bad, status=approved())
        await w.apply(CSR, "other", **csr("example.com/other", request(), "client auth"), status=approved())
        await w.settle()
        assert "certificate" in w.get(CSR, "good")["status"]
        assert [c["reason"] for c in w.get(CSR, "bad")["status"]["conditions"]] == [
            "r",
            "SignerValidationFailure",
        ]
        assert not any(
            "certificate" in (w.get(CSR, name).get("status") or {}) for name in ("waiting", "bad", "other")
        )

    run(story, NAMES, cluster_ca=CA)


def test_requests_go_when_nobody_needs_them_any_more(run):
    async def story(w):
        good = csr("example.com/other", request(), "client auth")
        await w.apply(CSR, "pending", **good)
        await w.apply(CSR, "denied", **good, status=approved(type_="Denied"))
        await w.settle(3500)
        assert len(w.all(CSR)) == 2
        await w.settle(200)
        assert [o["metadata"]["name"] for o in w.all(CSR)] == ["pending"]
        await w.settle(86400)
        assert w.all(CSR) == []

    run(story, NAMES, cluster_ca=CA)


def test_kubelets_are_given_theirs_if_they_may_ask(run):
    names = ("system:node:a", "system:nodes")
    usages = ("client auth", "digital signature")

    def may(spec: dict[str, Any], subresource: str) -> bool:
        return (spec["username"], subresource) in (
            ("bootstrap", "nodeclient"),
            ("system:node:a", "selfnodeclient"),
        )

    async def story(w):
        for name, user, text in (
            ("bootstrap", "bootstrap", request(*names)),
            ("renewal", "system:node:a", request(*names)),
            ("theft", "system:node:a", request("system:node:b", "system:nodes")),
            ("stranger", "me", request(*names)),
            ("other", "bootstrap", request("me")),
        ):
            await w.apply(CSR, name, **csr(KUBELET, text, *usages, username=user))
        await w.settle()
        conditions = {o["metadata"]["name"]: (o.get("status") or {}).get("conditions") for o in w.all(CSR)}
        approved = {name: found[0]["message"] for name, found in conditions.items() if found}
        assert approved == {
            "bootstrap": "Auto approving kubelet client certificate after SubjectAccessReview.",
            "renewal": "Auto approving self kubelet client certificate after SubjectAccessReview.",
        }

    run(story, ["certificatesigningrequest-approving"], may_request=may)
