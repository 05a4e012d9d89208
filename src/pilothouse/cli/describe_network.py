"""`describe` of services, their endpoints, ingresses and network policies."""

from __future__ import annotations

from typing import Any

from ..api.errors import ApiError
from ..api.object import Object, get, labels_of, name_of, namespace_of
from ..api.selectors import format_object
from .describe_writer import View, Writer, format_labels
from .timing import go_time, rfc1123

SHOWN_MAX = 3


async def service(w: Writer, obj: Object, view: View) -> None:
    spec = obj["spec"]
    w.head(obj)
    w(0, "Selector", format_labels(spec.get("selector")))
    w(0, "Type", spec.get("type") or "")
    if spec.get("ipFamilyPolicy"):
        w(0, "IP Family Policy", spec["ipFamilyPolicy"])
    w(0, "IP Families", ",".join(spec.get("ipFamilies") or ()) or "<none>")
    w(0, "IP", spec.get("clusterIP") or "")
    w(0, "IPs", ",".join(spec.get("clusterIPs") or ()) or "<none>")
    for label, value in (
        ("External IPs", ",".join(spec.get("externalIPs") or ())),
        ("Desired LoadBalancer IP", spec.get("loadBalancerIP")),
        ("External Name", spec.get("externalName")),
        ("LoadBalancer Ingress", ", ".join(map(_ingress, get(obj, "status.loadBalancer.ingress") or ()))),
    ):
        if value:
            w(0, label, value)
    slices = await _slices(view, namespace_of(obj), name_of(obj))
    for port in spec.get("ports") or ():
        name, protocol = port.get("name") or "<unset>", port.get("protocol") or "TCP"
        w(0, "Port", f"{name}\t{port['port']}/{protocol}")
        w(0, "TargetPort", f"{port.get('targetPort', 0)}/{protocol}")
        if port.get("appProtocol") is not None:
            w(0, "AppProtocol", port["appProtocol"])
        if port.get("nodePort"):
            w(0, "NodePort", f"{name}\t{port['nodePort']}/{protocol}")
        w(0, "Endpoints", addresses(slices, port.get("name") or ""))
    w(0, "Session Affinity", spec.get("sessionAffinity") or "")
    for label, value in (
        ("External Traffic Policy", spec.get("externalTrafficPolicy")),
        ("Internal Traffic Policy", spec.get("internalTrafficPolicy")),
        ("HealthCheck NodePort", spec.get("healthCheckNodePort")),
        ("LoadBalancer Source Ranges", ",".join(spec.get("loadBalancerSourceRanges") or ())),
        ("Traffic Distribution", spec.get("trafficDistribution")),
    ):
        if value:
            w(0, label, value)
    await view.events(w)


def _ingress(each: Object) -> str:
    if not each.get("ip"):
        return str(each.get("hostname") or "")
    return str(each["ip"]) + (f" ({each['ipMode']})" if each.get("ipMode") else "")


async def _slices(view: View, namespace: str, name: str) -> list[Object]:
    selector = f"kubernetes.io/service-name={name}"
    return await view.list("endpointslices.discovery.k8s.io", namespace, labelSelector=selector)


def addresses(slices: list[Object], port_name: str) -> str:
    """The ready endpoints of a port; three of them, and how many more."""
    if not slices:
        return "<none>"
    found: list[str] = []
    for each in slices:
        ready = [
            e for e in each.get("endpoints") or () if (e.get("conditions") or {}).get("ready") is not False
        ]
        if not each.get("ports"):
            found += [endpoint["addresses"][0] for endpoint in ready]
        for port in each.get("ports") or ():
            if (port.get("name") or "") == port_name:
                found += [_host_port(endpoint["addresses"][0], port.get("port")) for endpoint in ready]
    shown = ",".join(found[:SHOWN_MAX])
    return f"{shown} + {len(found) - SHOWN_MAX} more..." if len(found) > SHOWN_MAX else shown


def _host_port(host: str, port: Any) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


async def endpoints(w: Writer, obj: Object, view: View) -> None:
    w.head(obj)
    w.line(0, "Subsets:")
    for subset in obj.get("subsets") or ():
        for label, key in (("Addresses", "addresses"), ("NotReadyAddresses", "notReadyAddresses")):
            w(1, label, ",".join(each["ip"] for each in subset.get(key) or ()) or "<none>")
        if subset.get("ports"):
            w.line(1, "Ports:")
            w.heading(2, "Name|Port|Protocol")
            for port in subset["ports"]:
                w.line(2, f"{port.get('name') or '<unset>'}\t{port['port']}\t{port.get('protocol') or ''}")
        w.line(0)
    await view.events(w)


async def endpoint_slice(w: Writer, obj: Object, view: View) -> None:
    unset = "<unset>"
    w.head(obj)
    w(0, "AddressType", obj.get("addressType") or "")
    if obj.get("ports"):
        w.line(0, "Ports:")
        w.heading(1, "Name|Port|Protocol")
        for port in obj["ports"]:
            w.line(1, f"{port.get('name') or unset}\t{port.get('port', unset)}\t{port.get('protocol') or ''}")
    else:
        w.line(0, "Ports: <unset>")
    w.line(0, "Endpoints:" if obj.get("endpoints") else "Endpoints: <none>")
    for each in obj.get("endpoints") or ():
        w(1, "- Addresses", ", ".join(each.get("addresses") or ()) or "<none>")
        w.line(2, "Conditions:")
        w(3, "Ready", (each.get("conditions") or {}).get("ready", unset))
        w(2, "Hostname", each.get("hostname", unset))
        if target := each.get("targetRef"):
            w(2, "TargetRef", f"{target.get('kind')}/{target.get('name')}")
        w(2, "NodeName", each.get("nodeName", unset))
        w(2, "Zone", each.get("zone", unset))
    await view.events(w)


async def ingress(w: Writer, obj: Object, view: View) -> None:
    spec = obj["spec"]
    w(0, "Name", name_of(obj))
    w.labels("Labels", labels_of(obj))
    w(0, "Namespace", namespace_of(obj))
    found = {each.get("ip") or each.get("hostname") for each in get(obj, "status.loadBalancer.ingress") or ()}
    w(0, "Address", ",".join(sorted(each for each in found if each)))
    w(0, "Ingress Class", spec.get("ingressClassName") or "<none>")
    default = await _backend(view, spec["defaultBackend"]) if spec.get("defaultBackend") else "<default>"
    w(0, "Default backend", default)
    if spec.get("tls"):
        w.line(0, "TLS:")
        for each in spec["tls"]:
            hosts = ",".join(each.get("hosts") or ())
            w.line(
                1,
                f"{each['secretName']} terminates {hosts}"
                if each.get("secretName")
                else f"SNI routes {hosts}",
            )
    w.line(0, "Rules:")
    w.heading(1, "Host|Path|Backends")
    rules = [rule for rule in spec.get("rules") or () if rule.get("http")]
    for rule in rules:
        w.line(1, f"{rule.get('host') or '*'}\t")
        for path in rule["http"]["paths"]:
            w.line(2, f"\t{path.get('path') or ''} \t{await _backend(view, path['backend'])}")
    if not rules:
        w.line(1, f"*\t*\t{default}")
    w.annotations("Annotations", obj["metadata"].get("annotations"))
    await view.events(w)


async def _backend(view: View, backend: Object) -> str:
    if resource := backend.get("resource"):
        group = resource.get("apiGroup") or "<none>"
        return f"APIGroup: {group}, Kind: {resource.get('kind')}, Name: {resource.get('name')}"
    service_ = backend.get("service")
    if not service_:
        return ""
    port = service_.get("port") or {}
    number, port_name = port.get("number"), port.get("name")
    shown = f"{service_['name']}:{number or port_name or ''}"
    namespace = namespace_of(view.obj)
    try:
        slices = await _slices(view, namespace, service_["name"])
        found = await view.get("services", namespace, service_["name"])
    except ApiError as error:
        return f"{shown} (<error: {error.message}>)"
    name = ""
    for each in found["spec"].get("ports") or ():
        if (number and number == each["port"]) or (port_name and port_name == each.get("name")):
            name = each.get("name") or ""
    return f"{shown} ({addresses(slices, name)})"


async def ingress_class(w: Writer, obj: Object, view: View) -> None:
    w.head(obj, namespace=False)
    w(0, "Controller", get(obj, "spec.controller") or "")
    if parameters := get(obj, "spec.parameters"):
        w.line(0, "Parameters:")
        if parameters.get("apiGroup") is not None:
            w(1, "APIGroup", parameters["apiGroup"])
        w(1, "Kind", parameters.get("kind"))
        w(1, "Name", parameters.get("name"))
    await view.events(w)


async def service_cidr(w: Writer, obj: Object, view: View) -> None:
    w.head(obj, namespace=False)
    w(0, "CIDRs", ", ".join(get(obj, "spec.cidrs") or ()))
    if conditions := get(obj, "status.conditions"):
        w.line(0, "Status:")
        w.line(0, "Conditions:")
        w.heading(1, "Type|Status|LastTransitionTime|Reason|Message")
        for each in conditions:
            cells = (each["type"], each["status"], rfc1123(each.get("lastTransitionTime")))
            w.line(1, "\t".join((*cells, each.get("reason") or "", each.get("message") or "")))
    await view.events(w)


async def ip_address(w: Writer, obj: Object, view: View) -> None:
    w.head(obj, namespace=False)
    if parent := get(obj, "spec.parentRef"):
        w.line(0, "Parent Reference:")
        for label in ("Group", "Resource", "Namespace", "Name"):
            w(1, label, parent.get(label.lower()) or "")
    await view.events(w)


async def network_policy(w: Writer, obj: Object, view: View) -> None:
    spec = obj["spec"]
    w(0, "Name", name_of(obj))
    w(0, "Namespace", namespace_of(obj))
    w(0, "Created on", go_time(obj["metadata"].get("creationTimestamp")))
    w.labels("Labels", labels_of(obj))
    w.annotations("Annotations", obj["metadata"].get("annotations"))
    w.line(0, "Spec:")
    selector = spec.get("podSelector") or {}
    everything = "<none> (Allowing the specific traffic to all pods in this namespace)"
    w.line(1, f"PodSelector:     {format_object(selector) if selector else everything}")
    types = spec.get("policyTypes") or []
    for type_, traffic, peers in (("Ingress", "ingress", "from"), ("Egress", "egress", "to")):
        if type_ in types:
            w.line(1, f"Allowing {traffic} traffic:")
            _rules(w, spec.get(traffic) or [], traffic, peers)
        else:
            w.line(1, f"Not affecting {traffic} traffic")
    w.line(1, f"Policy Types: {', '.join(types) or '<none>'}")


def _rules(w: Writer, rules: list[Object], traffic: str, peers: str) -> None:
    if not rules:
        w.line(2, f"<none> (Selected pods are isolated for {traffic} connectivity)")
    for index, rule in enumerate(rules):
        for port in rule.get("ports") or ():
            protocol = port.get("protocol") or "TCP"
            if port.get("endPort") is None:
                w.line(2, f"To Port: {port.get('port', '<nil>')}/{protocol}")
            else:
                w.line(2, f"To Port Range: {port.get('port')}-{port['endPort']}/{protocol}")
        if not rule.get("ports"):
            w.line(2, "To Port: <any> (traffic allowed to all ports)")
        title = peers.capitalize()
        if not rule.get(peers):
            w.line(
                2,
                f"{title}: <any> (traffic not restricted by {'source' if peers == 'from' else 'destination'})",
            )
        for peer in rule.get(peers) or ():
            w.line(2, f"{title}:")
            for label, key in (("NamespaceSelector", "namespaceSelector"), ("PodSelector", "podSelector")):
                if peer.get(key) is not None:
                    w.line(3, f"{label}: {format_object(peer[key])}")
            if block := peer.get("ipBlock"):
                w.line(3, "IPBlock:")
                w.line(4, f"CIDR: {block.get('cidr') or ''}")
                w.line(4, f"Except: {', '.join(block.get('except') or ())}")
        if index < len(rules) - 1:
            w.line(2, "----------")
