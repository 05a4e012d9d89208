"""CertificateSigningRequests for the cluster's own signers: kubelets' are approved, approved ones signed, old ones go.

What each signer signs is in the table `_SIGNERS` (Kubernetes' documentation, "Kubernetes signers"). The certificate is
made here, by pure functions of the request, the CA and the time; the CA's key comes with the environment.
"""

from __future__ import annotations

import base64
import datetime
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from ..api.object import Object, condition_of, name_of, split_key, uid_of
from ..base.clock import parse_timestamp
from .common import set_condition, with_status
from .plan import NOTHING, Controller, Delete, Plan, Source, Update, View, own

if TYPE_CHECKING:
    from cryptography import x509

_RESOURCE = "certificatesigningrequests.certificates.k8s.io"
_DURATION_S, _DURATION_MIN_S, _BACKDATE_S = 365 * 86400.0, 600, 300.0
_SHORT_S = 8 * 3600.0
_KEEP_DECIDED_S, _KEEP_PENDING_S = 3600.0, 86400.0
_SIGNING, _ENCIPHERMENT, _CLIENT, _SERVER = (
    "digital signature",
    "key encipherment",
    "client auth",
    "server auth",
)
_KEY_USAGES = {
    _SIGNING: "digital_signature",
    "content commitment": "content_commitment",
    _ENCIPHERMENT: "key_encipherment",
    "data encipherment": "data_encipherment",
    "key agreement": "key_agreement",
    "cert sign": "key_cert_sign",
    "crl sign": "crl_sign",
    "encipher only": "encipher_only",
    "decipher only": "decipher_only",
}
_EXTENDED_USAGES = {
    _CLIENT: "1.3.6.1.5.5.7.3.2",
    _SERVER: "1.3.6.1.5.5.7.3.1",
    "code signing": "1.3.6.1.5.5.7.3.3",
    "email protection": "1.3.6.1.5.5.7.3.4",
    "s/mime": "1.3.6.1.5.5.7.3.4",
    "timestamping": "1.3.6.1.5.5.7.3.8",
    "ocsp signing": "1.3.6.1.5.5.7.3.9",
    "any": "2.5.29.37.0",
}


class Refused(Exception):
    """The signer does not sign such a request; the text is the condition's message."""


def _subject(request: x509.CertificateSigningRequest) -> tuple[str, list[str]]:
    from cryptography.x509.oid import NameOID

    names = request.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    organizations = request.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    return str(names[0].value) if names else "", [str(o.value) for o in organizations]


def _alternatives(request: x509.CertificateSigningRequest) -> list[x509.GeneralName]:
    from cryptography import x509

    try:
        return list(request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except x509.ExtensionNotFound:
        return []


def _check_client(request: x509.CertificateSigningRequest, usages: list[str]) -> None:
    for usage in usages:
        if usage not in (_SIGNING, _ENCIPHERMENT, _CLIENT):
            raise Refused(f"invalid usage for client certificate: {usage}")
    if _CLIENT not in usages:
        raise Refused(f"missing required usage for client certificate: {_CLIENT}")


def _check_organization(request: x509.CertificateSigningRequest) -> None:
    if _subject(request)[1] != ["system:nodes"]:
        raise Refused("subject organization is not system:nodes")


def _check_common_name(request: x509.CertificateSigningRequest) -> None:
    if not _subject(request)[0].startswith("system:node:"):
        raise Refused("subject common name does not begin with system:node: ")


def _check_alternatives(request: x509.CertificateSigningRequest, *forbidden: str) -> None:
    from cryptography import x509

    kinds = {
        "DNS": x509.DNSName,
        "Email": x509.RFC822Name,
        "IP": x509.IPAddress,
        "URI": x509.UniformResourceIdentifier,
    }
    for what in forbidden:
        if any(isinstance(name, kinds[what]) for name in _alternatives(request)):
            raise Refused(f"{what} subjectAltNames are not allowed")


def _check_usages(usages: list[str], purpose: str) -> None:
    if set(usages) not in ({_SIGNING, purpose}, {_SIGNING, _ENCIPHERMENT, purpose}):
        wanted = " ".join(sorted((_SIGNING, _ENCIPHERMENT, purpose)))
        raise Refused(f"usages did not match [{wanted}]")


def _check_kubelet_client(request: x509.CertificateSigningRequest, usages: list[str]) -> None:
    _check_organization(request)
    _check_alternatives(request, "DNS", "Email", "IP", "URI")
    _check_common_name(request)
    _check_usages(usages, _CLIENT)


def _check_kubelet_serving(request: x509.CertificateSigningRequest, usages: list[str]) -> None:
    from cryptography import x509

    _check_organization(request)
    if not any(isinstance(name, (x509.DNSName, x509.IPAddress)) for name in _alternatives(request)):
        raise Refused("DNS or IP subjectAltName is required")
    _check_alternatives(request, "Email", "URI")
    _check_usages(usages, _SERVER)
    _check_common_name(request)


_KUBELET_CLIENT = "kubernetes.io/kube-apiserver-client-kubelet"
# what each looks at, in Kubernetes' order: what it finds first, it says
_SIGNERS: dict[str, Callable[[x509.CertificateSigningRequest, list[str]], None]] = {
    "kubernetes.io/kube-apiserver-client": _check_client,
    _KUBELET_CLIENT: _check_kubelet_client,
    "kubernetes.io/kubelet-serving": _check_kubelet_serving,
    "kubernetes.io/legacy-unknown": lambda request, usages: None,
}


def _parsed(spec: Object) -> x509.CertificateSigningRequest:
    """The request, if it is one that its signer signs. Raises Refused, or ValueError for what is none at all."""
    from cryptography import x509

    request = x509.load_pem_x509_csr(base64.b64decode(spec["request"]))
    _SIGNERS[spec["signerName"]](request, spec.get("usages") or [])
    return request


def _checked(spec: Object) -> str:
    """The name that the certificate would be for."""
    return _subject(_parsed(spec))[0]


def sign(csr: Object, ca: tuple[str, str], serial: int, now: float) -> str:
    """The certificate, as PEM. Raises Refused. `ca`: certificate and key, as PEM."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    spec = csr["spec"]
    request, usages = _parsed(spec), spec.get("usages") or []
    authority = x509.load_pem_x509_certificate(ca[0].encode())
    key = serialization.load_pem_private_key(ca[1].encode(), None)
    assert isinstance(key, (ec.EllipticCurvePrivateKey, rsa.RSAPrivateKey))
    lasts_s = min(_DURATION_S, max(spec.get("expirationSeconds") or _DURATION_S, _DURATION_MIN_S))

    def moment(seconds: float) -> datetime.datetime:
        return datetime.datetime.fromtimestamp(int(seconds), datetime.UTC)

    early_s = _BACKDATE_S if lasts_s >= _SHORT_S else 0.0  # a short one is not made shorter
    end = min(moment(now - early_s + lasts_s), authority.not_valid_after_utc)
    builder = (
        x509.CertificateBuilder()
        .subject_name(request.subject)
        .issuer_name(authority.subject)
        .public_key(request.public_key())
        .serial_number(serial)
        .not_valid_before(max(moment(now - _BACKDATE_S), authority.not_valid_before_utc))
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key()),  # type: ignore[arg-type]
            critical=False,
        )
    )
    flags = {field: usage in usages for usage, field in _KEY_USAGES.items()}
    if any(flags.values()):
        builder = builder.add_extension(x509.KeyUsage(**flags), critical=True)
    extended = [x509.ObjectIdentifier(oid) for usage, oid in _EXTENDED_USAGES.items() if usage in usages]
    if extended:
        builder = builder.add_extension(x509.ExtendedKeyUsage(extended), critical=False)
    if names := _alternatives(request):
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def _is(csr: Object, type_: str) -> bool:
    return (condition_of(csr, type_) or {}).get("status") == "True"


def _with_condition(status: Object, type_: str, reason: str, message: str, now: float) -> Object:
    old = status.get("conditions") or []
    return {**status, "conditions": set_condition(old, type_, "True", reason, message, now, update_time=True)}


class CertificateApprover(Controller):
    """Kubelets' client certificates, for whoever may ask for one: bootstrap tokens for a new node, nodes for themselves."""

    name = "certificatesigningrequest-approving"
    component = "certificate-controller"

    @property
    def sources(self) -> Mapping[str, Source]:
        return {_RESOURCE: own}

    def reconcile(self, key: str, view: View, now: float) -> Plan:
        csr = view.of(_RESOURCE).get(*split_key(key))
        if csr is None or self.env.may_request is None or csr["spec"]["signerName"] != _KUBELET_CLIENT:
            return NOTHING
        status, spec = csr.get("status") or {}, csr["spec"]
        if status.get("certificate") or any(
            c["type"] in ("Approved", "Denied") for c in status.get("conditions") or ()
        ):
            return NOTHING
        try:
            name = _checked(spec)
        except (Refused, ValueError):
            return NOTHING  # a person may look at it
        for subresource, whose in (("selfnodeclient", "self kubelet"), ("nodeclient", "kubelet")):
            if subresource == "selfnodeclient" and spec.get("username") != name:
                continue
            if self.env.may_request(spec, subresource):
                message = f"Auto approving {whose} client certificate after SubjectAccessReview."
                status = _with_condition(status, "Approved", "AutoApproved", message, now)
                return Plan([Update(_RESOURCE, with_status(csr, status), "approval")])
        return NOTHING


class CertificateSigner(Controller):
    name = "certificatesigningrequest-signing"
    component = "certificate-controller"

    @property
    def sources(self) -> Mapping[str, Source]:
        return {_RESOURCE: own}

    def reconcile(self, key: str, view: View, now: float) -> Plan:
        csr = view.of(_RESOURCE).get(*split_key(key))
        status = (csr or {}).get("status") or {}
        if csr is None or self.env.cluster_ca is None or csr["spec"]["signerName"] not in _SIGNERS:
            return NOTHING
        if not _is(csr, "Approved") or _is(csr, "Denied") or _is(csr, "Failed") or status.get("certificate"):
            return NOTHING
        try:
            # X.509: a serial number is positive and has at most 20 bytes
            serial = int.from_bytes(self.env.random.bytes(19)) | 1
            pem = sign(csr, self.env.cluster_ca, serial, now)
        except (Refused, ValueError) as error:
            status = _with_condition(status, "Failed", "SignerValidationFailure", str(error), now)
        else:
            status = {**status, "certificate": base64.b64encode(pem.encode()).decode()}
        return Plan([Update(_RESOURCE, with_status(csr, status), "status")])


class CertificateCleaner(Controller):
    """Decided requests go after an hour, others after a day, and those whose certificate has expired at once."""

    name = "certificatesigningrequest-cleaner"
    component = "certificate-cleaner"
    account = "certificate-controller"

    @property
    def sources(self) -> Mapping[str, Source]:
        return {_RESOURCE: own}

    def reconcile(self, key: str, view: View, now: float) -> Plan:
        csr = view.of(_RESOURCE).get(*split_key(key))
        if csr is None:
            return NOTHING
        due = _due(csr)
        if due > now:
            return Plan(requeue_after_s=due - now)
        return Plan([Delete(_RESOURCE, "", name_of(csr), uid_of(csr))])


def _due(csr: Object) -> float:
    status = csr.get("status") or {}
    pem, conditions = status.get("certificate"), status.get("conditions") or []
    dues = []
    decided = [
        c for c in conditions if c["type"] in ("Denied", "Failed") or (pem and c["type"] == "Approved")
    ]
    for condition in decided:
        if moment := condition.get("lastUpdateTime"):
            dues.append(parse_timestamp(moment) + _KEEP_DECIDED_S)
    if not conditions:
        dues.append(parse_timestamp(csr["metadata"]["creationTimestamp"]) + _KEEP_PENDING_S)
    if not decided and conditions:  # approved, and no signer took it on
        dues.append(parse_timestamp(conditions[0]["lastUpdateTime"]) + _KEEP_DECIDED_S)
    if pem:
        from cryptography import x509

        certificate = x509.load_pem_x509_certificate(base64.b64decode(pem))
        dues.append(certificate.not_valid_after_utc.timestamp())
    return min(dues, default=float("inf"))
