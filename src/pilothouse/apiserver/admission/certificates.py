"""CertificateApproval, CertificateSigning and CertificateSubjectRestriction: who may decide on a request is granted by signer, not by
request; and nobody gets into system:masters by a certificate of the cluster's own client signer."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from ...api.errors import forbidden
from ...api.object import Object
from ..authorization import Attributes
from . import Environment, Plugin

if TYPE_CHECKING:
    from ..registry.operation import Operation

GROUP = "certificates.k8s.io"
REQUESTS = f"certificatesigningrequests.{GROUP}"
CLIENT_SIGNER, MASTERS = "kubernetes.io/kube-apiserver-client", "system:masters"
_VERBS = {"approval": "approve", "status": "sign"}


class Certificates(Plugin):
    name = "Certificates"
    resources = frozenset({REQUESTS})

    def validate(self, op: Operation, env: Environment) -> None:
        csr = op.object
        if csr is None:
            return
        if op.verb == "CREATE" and not op.subresource:
            spec = csr["spec"]
            restricted = spec.get("signerName") == CLIENT_SIGNER
            if restricted and MASTERS in subject_of(spec["request"], "ORGANIZATION_NAME"):
                raise _refused(op, f"use of {CLIENT_SIGNER} signer with {MASTERS} group is not allowed")
        elif op.verb == "UPDATE" and op.old is not None and (verb := _VERBS.get(op.subresource)):
            if verb == "sign" and _signed(csr) == _signed(op.old):
                return
            signer = op.old["spec"]["signerName"]
            if not _permitted(op, env, verb, signer):
                why = f'user not permitted to {verb} requests with signerName "{signer}"'
                raise _refused(op, why)


def _refused(op: Operation, why: str) -> Exception:
    return forbidden(op.kind.plural, op.kind.group, op.name, why)


def _signed(csr: Object) -> tuple[object, object]:
    status = csr.get("status") or {}
    return status.get("certificate") or None, status.get("conditions") or None


def _permitted(op: Operation, env: Environment, verb: str, signer: str) -> bool:
    names = (signer, f"{signer.partition('/')[0]}/*")
    return any(
        env.authorizer.allows(Attributes(op.user, verb, GROUP, "*", "signers", name=name))[0]
        for name in names
    )


def subject_of(request: str, part: str) -> list[str]:
    """What the subject of a CSR says: its COMMON_NAME, ORGANIZATION_NAME. Raises ValueError."""
    from cryptography import x509

    subject = x509.load_pem_x509_csr(base64.b64decode(request)).subject
    return [str(found.value) for found in subject.get_attributes_for_oid(getattr(x509.NameOID, part))]
