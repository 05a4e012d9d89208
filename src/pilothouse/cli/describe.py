"""`pilothouse describe`: which describer writes what is in `DESCRIBERS`; kinds without one are described generically."""

from __future__ import annotations

import importlib

import click

from ..api.errors import ApiError
from ..api.object import Object, name_of, namespace_of
from ..base.clock import RealClock
from .describe_writer import View, Writer
from .errors import Failure, Failures
from .targets import Finder, Info, Undecodable, items_of
from .verb import ALL_NAMESPACES, FILES, SELECTOR, Call, flag, number, program, verb

# (group, kind): module below pilothouse.cli and the function in it
DESCRIBERS = {
    ("", "Pod"): ("describe_pods", "pod"),
    ("", "ReplicationController"): ("describe_workloads", "replication_controller"),
    ("apps", "ReplicaSet"): ("describe_workloads", "replica_set"),
    ("apps", "Deployment"): ("describe_workloads", "deployment"),
    ("apps", "StatefulSet"): ("describe_workloads", "stateful_set"),
    ("apps", "DaemonSet"): ("describe_workloads", "daemon_set"),
    ("batch", "Job"): ("describe_workloads", "job"),
    ("batch", "CronJob"): ("describe_workloads", "cron_job"),
    ("autoscaling", "HorizontalPodAutoscaler"): ("describe_workloads", "autoscaler"),
    ("policy", "PodDisruptionBudget"): ("describe_workloads", "disruption_budget"),
    ("", "Service"): ("describe_network", "service"),
    ("", "Endpoints"): ("describe_network", "endpoints"),
    ("discovery.k8s.io", "EndpointSlice"): ("describe_network", "endpoint_slice"),
    ("networking.k8s.io", "Ingress"): ("describe_network", "ingress"),
    ("networking.k8s.io", "IngressClass"): ("describe_network", "ingress_class"),
    ("networking.k8s.io", "NetworkPolicy"): ("describe_network", "network_policy"),
    ("networking.k8s.io", "ServiceCIDR"): ("describe_network", "service_cidr"),
    ("networking.k8s.io", "IPAddress"): ("describe_network", "ip_address"),
    ("", "ConfigMap"): ("describe_config", "config_map"),
    ("", "Secret"): ("describe_config", "secret"),
    ("", "ServiceAccount"): ("describe_config", "service_account"),
    ("", "Namespace"): ("describe_config", "namespace"),
    ("", "ResourceQuota"): ("describe_config", "quota"),
    ("", "LimitRange"): ("describe_config", "limit_range"),
    ("scheduling.k8s.io", "PriorityClass"): ("describe_config", "priority_class"),
    ("rbac.authorization.k8s.io", "Role"): ("describe_config", "role"),
    ("rbac.authorization.k8s.io", "ClusterRole"): ("describe_config", "role"),
    ("rbac.authorization.k8s.io", "RoleBinding"): ("describe_config", "binding"),
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"): ("describe_config", "binding"),
    ("certificates.k8s.io", "CertificateSigningRequest"): ("describe_config", "signing_request"),
    ("", "Node"): ("describe_node", "node"),
    ("", "PersistentVolume"): ("describe_volumes", "persistent_volume"),
    ("", "PersistentVolumeClaim"): ("describe_volumes", "claim"),
    ("storage.k8s.io", "StorageClass"): ("describe_volumes", "storage_class"),
    ("storage.k8s.io", "CSINode"): ("describe_volumes", "csi_node"),
    ("storage.k8s.io", "VolumeAttributesClass"): ("describe_volumes", "attributes_class"),
}


@verb(
    "describe",
    *FILES,
    *SELECTOR,
    *ALL_NAMESPACES,
    flag("--show-events", default=True, help="With the events of the object."),
    number("--chunk-size", default=500),
    help="Show details of resources: `describe pod NAME`, `describe node/NAME`, `describe pods -l app=web`.",
)
async def command(call: Call) -> None:
    options, words = call.options, call.words
    if not words and not options.filename:
        hint = f'Use "{program()} api-resources" for a complete list of supported resources.'
        raise Failure(f"You must specify the type of resource to describe. {hint}")
    finder = Finder(call)
    try:
        found = await finder.run(everything=True)
    except Undecodable as undecodable:
        raise Failure(undecodable.message, plain=True)
    events = options.show_events
    if (finder.errors or len(found) > 1) and not options.given("show_events"):
        events = False
    if len(finder.errors) == 1 and len(words) == 2 and "/" not in words[0] + words[1]:
        error = finder.errors[0]
        if isinstance(error, ApiError) and error.code == 404:
            found = await _by_prefix(call, words, error)
            for info in found:
                click.echo(await described(call, info, events))
            return
    errors = list(finder.errors)
    for index, info in enumerate(found):
        try:
            shown = await described(call, info, events)
        except (ApiError, Failure) as error:
            errors.append(error)
            continue
        click.echo(("\n\n" if index else "") + shown, nl=False)
    if not found and not errors:
        where = "" if options.all_namespaces else f" in {call.namespace} namespace."
        click.echo(f"No resources found{where}", err=True)
    if errors:
        raise Failures(errors)


async def _by_prefix(call: Call, words: list[str], error: ApiError) -> list[Info]:
    """A name that is nobody's may be the start of some."""
    kind = await call.connection.kind(words[0])
    items = await items_of(call.connection, kind, call.namespace)
    found = [Info(kind, namespace_of(o), name_of(o), o) for o in items if name_of(o).startswith(words[1])]
    if not found:
        raise error
    return found


async def described(call: Call, info: Info, events: bool) -> str:
    module, function = DESCRIBERS.get((info.kind.group, info.kind.kind), ("describe_writer", "generic"))
    obj: Object = info.obj
    view = View(call.connection, info.kind, obj, RealClock().now(), events)
    writer = Writer()
    await getattr(importlib.import_module(f"{__package__}.{module}"), function)(writer, obj, view)
    return writer.text()
