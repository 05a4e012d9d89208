"""What a pod's containers see of names: host name, resolv.conf by dnsPolicy, the hosts file. Pure."""

from __future__ import annotations

from ..api.object import Object, name_of, namespace_of
from ..runtime.interface import DnsConfig
from .config import NodeConfig

HOST_NAME_MAX = 63
DNS_SERVERS_MAX, DNS_SEARCHES_MAX, DNS_SEARCH_CHARS_MAX, DNS_SEARCH_LINE_MAX = 3, 32, 253, 2048
FQDN_MAX = 64  # of the kernel
HOSTS_HEADER = "# Kubernetes-managed hosts file.\n"
HOSTS_HEADER_HOST_NETWORK = "# Kubernetes-managed hosts file (host network).\n"
_LOCAL = (
    "127.0.0.1\tlocalhost\n"
    "::1\tlocalhost ip6-localhost ip6-loopback\n"
    "fe00::0\tip6-localnet\n"
    "fe00::0\tip6-mcastprefix\n"
    "fe00::1\tip6-allnodes\n"
    "fe00::2\tip6-allrouters\n"
)


class SandboxError(Exception):
    """No sandbox can be made for this pod; the words are kubelet's."""


def host_and_domain(pod: Object, cluster_domain: str) -> tuple[str, str]:
    """(host name, domain): the domain is "" without a subdomain."""
    spec = pod["spec"]
    override = spec.get("hostnameOverride")
    if override is not None:
        return override[:HOST_NAME_MAX].rstrip("-."), ""
    host = spec.get("hostname") or name_of(pod)[:HOST_NAME_MAX].rstrip("-.")
    subdomain = spec.get("subdomain")
    return host, f"{subdomain}.{namespace_of(pod)}.svc.{cluster_domain}" if subdomain else ""


def sandbox_hostname(pod: Object, config: NodeConfig) -> str:
    """What `hostname` prints in the pod. Raises SandboxError."""
    if pod["spec"].get("hostNetwork"):
        return ""
    host, domain = host_and_domain(pod, config.cluster_domain)
    if not (domain and pod["spec"].get("setHostnameAsFQDN")):
        return host
    full = f"{host}.{domain}"
    if len(full) > FQDN_MAX:
        raise SandboxError(
            f"failed to construct FQDN from Pod hostname and cluster domain, FQDN {full} is too long "
            f"({FQDN_MAX} characters is the max, {len(full)} characters requested)"
        )
    return full


def hosts_file(pod: Object, addresses: list[str], cluster_domain: str, node_hosts: str) -> str:
    """/etc/hosts. `node_hosts` is the node's own, for pods in its network."""
    spec = pod["spec"]
    if spec.get("hostNetwork"):
        text = HOSTS_HEADER_HOST_NETWORK + node_hosts
    else:
        host, domain = host_and_domain(pod, cluster_domain)
        names = f"{host}.{domain}\t{host}" if domain else host
        text = HOSTS_HEADER + _LOCAL + "".join(f"{address}\t{names}\n" for address in addresses)
    aliases = spec.get("hostAliases") or ()
    if aliases:
        text += "\n# Entries added by HostAliases.\n"
        text += "".join("\t".join([alias["ip"], *alias.get("hostnames", ())]) + "\n" for alias in aliases)
    return text


def resolv_conf(text: str) -> DnsConfig:
    """Reads a resolv.conf."""
    servers: list[str] = []
    searches: list[str] = []
    options: list[str] = []
    for line in text.splitlines():
        words = line.split()
        if not words or words[0][0] in "#;":
            continue
        if words[0] == "nameserver" and len(words) > 1:
            servers.append(words[1])
        elif words[0] == "search":
            searches = [word.rstrip(".") or "." for word in words[1:]]
        elif words[0] == "options":
            options = words[1:]
    return DnsConfig(tuple(servers), tuple(searches), tuple(options))


def dns_config(pod: Object, config: NodeConfig, node: DnsConfig) -> tuple[DnsConfig, list[str]]:
    """By dnsPolicy, with dnsConfig on top (kubelet's network/dns); and what had to be left out."""
    spec = pod["spec"]
    policy = spec.get("dnsPolicy") or "ClusterFirst"
    if policy == "ClusterFirst" and spec.get("hostNetwork"):
        policy = "Default"
    if policy == "ClusterFirstWithHostNet":
        policy = "ClusterFirst"
    if policy == "ClusterFirst" and not config.cluster_dns:
        policy = "Default"
    if policy == "None":
        base = DnsConfig()
    elif policy == "ClusterFirst":
        domain = config.cluster_domain
        own = (f"{namespace_of(pod)}.svc.{domain}", f"svc.{domain}", domain)
        base = DnsConfig((config.cluster_dns,), tuple(dict.fromkeys((*own, *node.searches))), ("ndots:5",))
    else:
        base = node
    more = spec.get("dnsConfig") or {}
    options = {option.partition(":")[0]: option for option in base.options}
    for option in more.get("options") or ():
        value = option.get("value")
        options[option["name"]] = f"{option['name']}:{value}" if value else option["name"]
    servers = [*dict.fromkeys((*base.servers, *(more.get("nameservers") or ())))]
    wanted = [*dict.fromkeys((*base.searches, *(more.get("searches") or ())))]
    searches = [name for name in wanted[:DNS_SEARCHES_MAX] if len(name) <= DNS_SEARCH_CHARS_MAX]
    while len(" ".join(searches)) > DNS_SEARCH_LINE_MAX:
        searches.pop()
    omitted = []
    if len(servers) > DNS_SERVERS_MAX:
        del servers[DNS_SERVERS_MAX:]
        omitted.append(
            "Nameserver limits were exceeded, some nameservers have been omitted, "
            f"the applied nameserver line is: {' '.join(servers)}"
        )
    if searches != wanted:
        omitted.append(
            "Search Line limits were exceeded, some search paths have been omitted, "
            f"the applied search line is: {' '.join(searches)}"
        )
    return DnsConfig(tuple(servers), tuple(searches), tuple(options.values())), omitted
