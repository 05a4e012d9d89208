"""CertificateSigningRequests: what is asked for, and that what is decided stays decided."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any

from .. import names
from ..fielderrors import FieldErrors
from ..object import Object
from . import metadata
from .validator import Validator, against_old

_USAGES = (
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
)
_APPROVED, _DENIED, _FAILED = "Approved", "Denied", "Failed"
_LEGACY = "kubernetes.io/legacy-unknown"
_EXPIRATION_S_MIN = 600
_SIGNER_LENGTH_MAX = 571
_BLOCK = re.compile(rb"-----BEGIN ([^-]*)-----\s*(.*?)-----END \1-----", re.DOTALL)


def _any_name(name: str) -> list[str]:
    return []


def _content(encoded: str | None) -> bytes:
    try:
        return base64.b64decode(encoded or "")
    except binascii.Error:
        return b""


def _request_problem(encoded: str | None) -> str:
    from cryptography import x509  # takes a tenth of a second to import: only who needs it pays

    block = _BLOCK.search(_content(encoded))
    if block is None or block[1] != b"CERTIFICATE REQUEST":
        return "PEM block type must be CERTIFICATE REQUEST"
    try:
        request = x509.load_der_x509_csr(base64.b64decode(block[2]))
        return "" if request.is_signature_valid else "x509: signature verification failed"
    except ValueError as error:
        return f"x509: malformed certificate request: {error}"


def _certificate_problem(encoded: str | None) -> str:
    from cryptography import x509

    text = _content(encoded)
    if not text:
        return ""
    blocks = _BLOCK.findall(text)
    if not blocks:
        return "must contain at least one CERTIFICATE PEM block"
    for type_, body in blocks:
        if type_ != b"CERTIFICATE":
            return f'only CERTIFICATE PEM blocks are allowed, found "{type_.decode(errors="replace")}"'
        if b":" in body:
            return "no PEM block headers are permitted"
        try:
            x509.load_der_x509_certificate(base64.b64decode(body))
        except ValueError:
            return "x509: malformed certificate"
    return ""


def signer_name(errors: FieldErrors, value: str, path: str) -> None:
    if not value:
        errors.required(path)
        return
    domain, slash, rest = value.partition("/")
    if not slash or "/" in rest:
        why = "must be a fully qualified domain and path of the form 'example.com/signer-name'"
        errors.invalid(path, value, why)
        return
    if len(domain) > names.SUBDOMAIN_LENGTH_MAX:
        errors.too_long(path, names.SUBDOMAIN_LENGTH_MAX)
    _labels(errors, domain, names.dns1123_label, path)
    if "." not in domain:
        errors.invalid(path, domain, "should be a domain with at least two segments separated by dots")
    _labels(errors, rest, names.dns1123_subdomain, path)
    if len(value) > _SIGNER_LENGTH_MAX:
        errors.too_long(path, _SIGNER_LENGTH_MAX)


def _labels(errors: FieldErrors, value: str, rule: metadata.NameRule, path: str) -> None:
    """Says what is wrong with the first bad one."""
    for label in value.split("."):
        if problems := rule(label):
            errors.messages(path, value, [f'validating label "{label}": {one}' for one in problems])
            return


def _conditions_of(csr: Object, type_: str = "") -> list[Object]:
    found = (csr.get("status") or {}).get("conditions") or []
    return [c for c in found if c.get("type") == type_] if type_ else found


def _body(errors: FieldErrors, new: Object, old: Object | None) -> None:
    spec, before = new.get("spec") or {}, (old or {}).get("spec") or {}
    if old is None or spec.get("request") != before.get("request"):
        problem = _request_problem(spec.get("request"))
        if problem:
            errors.invalid("spec.request", spec.get("request"), problem)
    usages, known = spec.get("usages") or [], before.get("usages") or []
    if not usages:
        errors.required("spec.usages")
    if all(usage in _USAGES for usage in known):
        for index, usage in enumerate(usages):
            if usage not in _USAGES:
                errors.not_supported(f"spec.usages[{index}]", usage, _USAGES)
    if len(set(known)) == len(known):
        for index, usage in enumerate(usages):
            if usage in usages[:index]:
                errors.duplicate(f"spec.usages[{index}]", usage)
    signer = spec.get("signerName") or ""
    if signer == _LEGACY and before.get("signerName") != _LEGACY:
        why = "the legacy signerName is not allowed via this API version"
        errors.invalid("spec.signerName", signer, why)
    else:
        signer_name(errors, signer, "spec.signerName")
    seconds = spec.get("expirationSeconds")
    if seconds is not None and seconds < _EXPIRATION_S_MIN:
        why = "may not specify a duration less than 600 seconds (10 minutes)"
        errors.invalid("spec.expirationSeconds", seconds, why)
    _conditions(errors, new, old or {})
    certificate, was = _certificate(new), _certificate(old or {})
    if old is None or (certificate != was and not _certificate_problem(was)):
        if problem := _certificate_problem(certificate):
            errors.invalid("status.certificate", "<certificate data>", problem)


def _certificate(csr: Object) -> Any:
    return (csr.get("status") or {}).get("certificate") or None


def _conditions(errors: FieldErrors, new: Object, old: Object) -> None:
    path = "status.conditions"
    old_types = [c.get("type") or "" for c in _conditions_of(old)]
    both = _APPROVED in old_types and _DENIED in old_types
    twice, empty = len(set(old_types)) < len(old_types), "" in old_types
    seen: set[str] = set()
    for index, condition in enumerate(_conditions_of(new)):
        at, type_, status = f"{path}[{index}]", condition.get("type") or "", condition.get("status") or ""
        if not type_ and not empty:
            errors.required(f"{at}.type")
        if type_ in (_APPROVED, _DENIED, _FAILED):
            errors.choice(f"{at}.status", status, ("True",))
        else:
            errors.choice(f"{at}.status", status, ("False", "True", "Unknown"))
        other = {_APPROVED: _DENIED, _DENIED: _APPROVED}.get(type_)
        if other in seen and not both:
            errors.invalid(path, type_, "Approved and Denied conditions are mutually exclusive")
        if type_ in seen and not twice:
            errors.duplicate(f"{at}.type", type_)
        seen.add(type_)


def _create(errors: FieldErrors, new: Object) -> None:
    metadata.created(errors, new["metadata"], _any_name, namespaced=False)
    _body(errors, new, None)
    if not errors:
        metadata.created(errors, new["metadata"], names.path_segment, namespaced=False)


def _update(errors: FieldErrors, new: Object, old: Object, subresource: str) -> None:
    metadata.created(errors, new["metadata"], _any_name, namespaced=False)
    _body(errors, new, old)
    path = "status.conditions"
    for type_ in (_APPROVED, _DENIED, _FAILED):
        if len(_conditions_of(new, type_)) < len(_conditions_of(old, type_)):
            errors.forbidden(path, f'updates may not remove a condition of type "{type_}"')
    if subresource != "approval":
        for type_ in (_APPROVED, _DENIED):
            now, was = _conditions_of(new, type_), _conditions_of(old, type_)
            if len(now) > len(was):
                errors.forbidden(path, f'updates may not add a condition of type "{type_}"')
            elif len(now) == len(was) and not metadata.same(now, was):
                errors.forbidden(path, f'updates may not modify a condition of type "{type_}"\n')
    if _certificate(new) != _certificate(old):
        if subresource != "status":
            errors.forbidden("status.certificate", "updates may not set certificate content")
        elif _certificate(old):
            errors.forbidden("status.certificate", "updates may not modify existing certificate content")
    against_old(errors, new, old)


SIGNING_REQUEST = Validator(_create, _update)
