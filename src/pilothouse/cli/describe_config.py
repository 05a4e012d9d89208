"""`describe` of configuration, accounts, quotas, roles: the kinds that only hold data."""

from __future__ import annotations

import base64
from typing import Any

from ..api.duration import human_duration
from ..api.object import Object, annotations_of, get, labels_of, name_of, namespace_of
from ..api.quantity import Quantity
from .describe_writer import View, Writer, format_labels
from .jsonpath import go_text
from .timing import rfc1123

SCOPES = {
    "Terminating": "Matches all pods that have an active deadline. These pods have a limited lifespan on a node before being "
    "actively terminated by the system.",
    "NotTerminating": "Matches all pods that do not have an active deadline. These pods usually include long running pods whose "
    "container command is not expected to terminate.",
    "BestEffort": "Matches all pods that do not have resource requirements set. These pods have a best effort quality of service.",
    "NotBestEffort": "Matches all pods that have at least one resource requirement set. These pods have a burstable or guaranteed "
    "quality of service.",
}
LIMITS = "Type|Resource|Min|Max|Default Request|Default Limit|Max Limit/Request Ratio"


async def config_map(w: Writer, obj: Object, view: View) -> None:
    w.head(obj)
    w.raw("\nData\n====\n")
    for key, value in sorted((obj.get("data") or {}).items()):
        w.raw(f"{key}:\n----\n{value}\n\n")
    w.raw("\nBinaryData\n====\n")
    for key, value in sorted((obj.get("binaryData") or {}).items()):
        w.line(0, f"{key}: {len(base64.b64decode(value))} bytes")
    w.line(0)
    await view.events(w)


async def secret(w: Writer, obj: Object, view: View) -> None:
    w.head(obj)
    type_ = obj.get("type") or ""
    w.raw(f"\nType:\t{type_}\n\nData\n====\n")
    for key, value in sorted((obj.get("data") or {}).items()):
        content = base64.b64decode(value)
        if key == "token" and type_ == "kubernetes.io/service-account-token":
            w(0, key, content.decode())
        else:
            w(0, key, f"{len(content)} bytes")


async def service_account(w: Writer, obj: Object, view: View) -> None:
    w.head(obj)
    title = "Image pull secrets:"
    names = [each.get("name") or "" for each in obj.get("imagePullSecrets") or ()] or ["<none>"]
    for index, name in enumerate(names):
        w.line(0, f"{title if index == 0 else ' ' * len(title)}\t{name}")
    await view.events(w)


async def namespace(w: Writer, obj: Object, view: View) -> None:
    w.head(obj, namespace=False)
    w(0, "Status", get(obj, "status.phase") or "")
    if conditions := get(obj, "status.conditions"):
        w.line(0, "Conditions:")
        w.heading(1, "Type|Status|LastTransitionTime|Reason|Message")
        for each in conditions:
            cells = (each["type"], each["status"], rfc1123(each.get("lastTransitionTime")))
            w.line(1, "\t".join((*cells, each.get("reason") or "", each.get("message") or "")))
    quotas = await view.list("resourcequotas", name_of(obj))
    w.line(0)
    if quotas:
        w.line(0, "Resource Quotas")
        for each in sorted(quotas, key=name_of):
            w(1, "Name", name_of(each))
            _scopes(w, each, 1, "* ")
            w.line(1, "Resource\tUsed\tHard")
            w.line(1, "--------\t---\t---")
            for name, used, hard in _amounts(each):
                w.line(1, f"{name}\t{used}\t{hard}")
    else:
        w.line(0, "No resource quota.")
    ranges = await view.list("limitranges", name_of(obj))
    w.line(0)
    if ranges:
        w.line(0, "Resource Limits")
        names = LIMITS.split("|")
        w.line(0, " " + "\t".join(names))
        w.line(0, " " + "\t".join("-" * len(name) for name in names))
        for each in ranges:
            _limits(w, each, " ")
    else:
        w.line(0, "No LimitRange resource.")


def _scopes(w: Writer, obj: Object, level: int, bullet: str) -> None:
    scopes = sorted(get(obj, "spec.scopes") or ())
    if scopes:
        w(level, "Scopes", ", ".join(scopes))
        for scope in scopes:
            if scope in SCOPES:
                w.line(level, bullet + SCOPES[scope])


def _amounts(obj: Object) -> list[tuple[str, str, str]]:
    hard, used = get(obj, "status.hard") or {}, get(obj, "status.used") or {}
    return [(name, used.get(name, "0"), hard[name]) for name in sorted(hard)]


async def quota(w: Writer, obj: Object, view: View) -> None:
    w(0, "Name", name_of(obj))
    w(0, "Namespace", namespace_of(obj))
    _scopes(w, obj, 0, " * ")
    w.heading(0, "Resource|Used|Hard")
    for name, used, hard in _amounts(obj):
        wanted, amount = Quantity.of(hard), Quantity.of(used)
        if wanted.format != amount.format:
            used = str(Quantity(Quantity.of(amount.value()).number, wanted.format))
        w.line(0, f"{name}\t{used}\t{hard}")


async def limit_range(w: Writer, obj: Object, view: View) -> None:
    w(0, "Name", name_of(obj))
    w(0, "Namespace", namespace_of(obj))
    w.heading(0, LIMITS)
    _limits(w, obj, "")


def _limits(w: Writer, obj: Object, prefix: str) -> None:
    for item in get(obj, "spec.limits") or ():
        columns = [
            item.get(key) or {} for key in ("min", "max", "defaultRequest", "default", "maxLimitRequestRatio")
        ]
        for name in sorted({name for column in columns for name in column}):
            cells = [item["type"], name, *(str(column.get(name, "-")) for column in columns)]
            w.line(0, prefix + "\t".join(cells))


async def priority_class(w: Writer, obj: Object, view: View) -> None:
    w(0, "Name", name_of(obj))
    w(0, "Value", obj.get("value", 0))
    w(0, "GlobalDefault", bool(obj.get("globalDefault")))
    w(0, "PreemptionPolicy", obj.get("preemptionPolicy") or "")
    w(0, "Description", obj.get("description") or "")
    w(0, "Annotations", format_labels(annotations_of(obj)))
    await view.events(w)


async def role(w: Writer, obj: Object, view: View) -> None:
    w.head(obj, namespace=False)
    w.line(0, "PolicyRule:")
    w.heading(1, "Resources|Non-Resource URLs|Resource Names|Verbs")
    for row in rule_rows(obj.get("rules") or []):
        w.line(1, "\t".join(row))


def rule_rows(rules: list[Object]) -> list[list[str]]:
    """What rules allow, a resource a line, as `describe role` and `auth can-i --list` show it."""
    simple: dict[tuple[str, str, str], list[str]] = {}
    urls: list[Object] = []
    for rule in rules:
        for group in rule.get("apiGroups") or ():
            for resource in rule.get("resources") or ():
                for name in rule.get("resourceNames") or ("",):
                    verbs = simple.setdefault((group, resource, name), [])
                    verbs += [verb for verb in rule.get("verbs") or () if verb not in verbs]
        urls += [
            {"url": url, "verbs": [verb]}
            for url in rule.get("nonResourceURLs") or ()
            for verb in rule.get("verbs") or ()
        ]
    keyed: list[tuple[str, list[str]]] = []
    for (group, resource, name), verbs in simple.items():
        names = [name] if name else []
        first, slash, rest = resource.partition("/")
        shown = first + (f".{group}" if group else "") + slash + rest
        keyed.append(
            (_order(verbs, [group], [resource], names, []), [shown, "[]", go_text(names), go_text(verbs)])
        )
    for each in urls:
        order = _order(each["verbs"], [], [], [], [each["url"]])
        keyed.append((order, ["", f"[{each['url']}]", "[]", go_text(each["verbs"])]))
    return [row for _, row in sorted(keyed, key=lambda pair: pair[0])]


def _order(*lists: Any) -> str:
    """The text that Kubernetes sorts rules by."""
    names = ("Verbs", "APIGroups", "Resources", "ResourceNames", "NonResourceURLs")
    return (
        "&PolicyRule{"
        + "".join(f"{name}:{go_text(each)}," for name, each in zip(names, lists, strict=True))
        + "}"
    )


async def binding(w: Writer, obj: Object, view: View) -> None:
    w.head(obj, namespace=False)
    w.line(0, "Role:")
    w(1, "Kind", obj["roleRef"].get("kind"))
    w(1, "Name", obj["roleRef"].get("name"))
    w.line(0, "Subjects:")
    w.heading(1, "Kind|Name|Namespace")
    for each in obj.get("subjects") or ():
        w.line(1, f"{each.get('kind')}\t{each.get('name')}\t{each.get('namespace') or ''}")


async def signing_request(w: Writer, obj: Object, view: View) -> None:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    spec, status = obj["spec"], obj.get("status") or {}
    w(0, "Name", name_of(obj))
    w(0, "Labels", format_labels(labels_of(obj)))
    w(0, "Annotations", format_labels(annotations_of(obj)))
    w(0, "CreationTimestamp", rfc1123(obj["metadata"].get("creationTimestamp")))
    w(0, "Requesting User", spec.get("username") or "")
    if spec.get("signerName"):
        w(0, "Signer", spec["signerName"])
    if spec.get("expirationSeconds") is not None:
        w(0, "Requested Duration", human_duration(spec["expirationSeconds"]))
    types = {each["type"] for each in status.get("conditions") or ()}
    state = "Denied" if "Denied" in types else "Approved" if "Approved" in types else "Pending"
    w(0, "Status", state + ",Failed" * ("Failed" in types) + ",Issued" * bool(status.get("certificate")))
    request = x509.load_pem_x509_csr(base64.b64decode(spec["request"]))

    def values(oid: Any) -> list[str]:
        return [str(each.value) for each in request.subject.get_attributes_for_oid(oid)]

    w.line(0, "Subject:")
    w.line(0, f"\tCommon Name:\t{''.join(values(NameOID.COMMON_NAME)[:1])}")
    w.line(0, f"\tSerial Number:\t{''.join(values(NameOID.SERIAL_NUMBER)[:1])}")
    for title, oid in (
        ("Organization", NameOID.ORGANIZATION_NAME),
        ("Organizational Unit", NameOID.ORGANIZATIONAL_UNIT_NAME),
        ("Country", NameOID.COUNTRY_NAME),
        ("Locality", NameOID.LOCALITY_NAME),
        ("Province", NameOID.STATE_OR_PROVINCE_NAME),
        ("StreetAddress", NameOID.STREET_ADDRESS),
        ("PostalCode", NameOID.POSTAL_CODE),
    ):
        _listed(w, title, values(oid))
    try:
        names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        names = None
    if names:
        w.line(0, "Subject Alternative Names:")
        _listed(w, "DNS Names", names.get_values_for_type(x509.DNSName))
        _listed(w, "Email Addresses", names.get_values_for_type(x509.RFC822Name))
        _listed(w, "URIs", names.get_values_for_type(x509.UniformResourceIdentifier))
        _listed(w, "IP Addresses", [str(each) for each in names.get_values_for_type(x509.IPAddress)])
    await view.events(w)


def _listed(w: Writer, title: str, values: list[str]) -> None:
    if values:
        w.raw(f"\t{title}:\t" + "\n\t\t".join(values) + "\n")
