"""`create` of workloads, services and policies from flags: one function a kind, from flags to object."""

from __future__ import annotations

import re

from ..api.names import dns1123_subdomain, port_name, port_number
from ..api.object import Object
from ..api.quantity import Quantity
from ..base.random import Random
from .create import creates, group_of
from .errors import Failure
from .targets import Finder
from .verb import Call, flag, many, number, text


def _meta(name: str, **more: object) -> Object:
    return {"name": name, **more}


@creates("namespace", "ns", help="Create a namespace.")
def namespace(call: Call, name: str) -> Object:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": _meta(name), "spec": {}, "status": {}}


@creates("serviceaccount", "sa", help="Create a service account.", failed="failed to create serviceaccount: ")
def serviceaccount(call: Call, name: str) -> Object:
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": _meta(name)}


@creates(
    "deployment",
    "deploy",
    flags=(
        many("--image", split=True, needed=True, help="Image; several make several containers."),
        number("--port", help="The port that the container listens on."),
        number("-r", "--replicas", default=1, help="How many pods."),
    ),
    help="Create a deployment: `create deployment web --image=nginx -- command args`.",
    failed="failed to create deployment: ",
)
def deployment(call: Call, name: str) -> Object:
    images, command = call.options.image, call.after or []
    if len(images) > 1 and command:
        raise Failure("cannot specify multiple --image options and command")
    containers: list[Object] = [
        {"name": _container_name(image), "image": image, "resources": {}} for image in images
    ]
    if command:
        containers[0]["command"] = command
    if call.options.port is not None:
        containers[0]["ports"] = [{"containerPort": call.options.port}]
    labels = {"app": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _meta(name, labels=dict(labels)),
        "spec": {
            "replicas": call.options.replicas,
            "selector": {"matchLabels": dict(labels)},
            "strategy": {},
            "template": {"metadata": {"labels": dict(labels)}, "spec": {"containers": containers}},
        },
        "status": {},
    }


def _container_name(image: str) -> str:
    """The last part of the image's name, without tag and digest; what no label may have makes it a random one."""
    part = re.split("[@:]", image.rpartition("/")[2])[0]
    name = re.sub("[_.]", "-", part)
    return name if name == part else f"{name}-{Random.from_os().suffix()}"


@creates(
    "job",
    flags=(text("--image", help="Image to run."), text("--from", help="cronjob/NAME to make the job from.")),
    help="Create a job: `create job once --image=busybox -- echo hi`, `create job now --from=cronjob/nightly`.",
    failed="failed to create job: ",
)
async def job(call: Call, name: str) -> Object:
    image, source = call.options.image, getattr(call.options, "from")
    if bool(image) == bool(source):
        raise Failure("either --image or --from must be specified")
    if call.after and source:
        raise Failure("cannot specify --from and command")
    if image:
        pod = _pod(name, image, call.after, "Never")
        spec = {"template": {"metadata": {}, "spec": pod}}
        return {"apiVersion": "batch/v1", "kind": "Job", "metadata": _meta(name), "spec": spec, "status": {}}
    finder = Finder(call)
    found = await finder.run([source])
    finder.end()
    if len(found) != 1:
        raise Failure("from must be an existing cronjob")
    cron = found[0].obj
    if cron["kind"] != "CronJob":
        raise Failure(f"unknown object type *{cron['apiVersion'].rpartition('/')[2]}.{cron['kind']}")
    template = cron["spec"]["jobTemplate"]
    metadata = template.get("metadata") or {}
    owner = {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "name": found[0].name,
        "uid": cron["metadata"]["uid"],
    }
    annotations = {"cronjob.kubernetes.io/instantiate": "manual", **(metadata.get("annotations") or {})}
    made = _meta(name, annotations=annotations, ownerReferences=[{**owner, "controller": True}])
    if metadata.get("labels"):
        made["labels"] = metadata["labels"]
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": made, "spec": template["spec"], "status": {}}


def _pod(name: str, image: str, command: list[str] | None, restart: str) -> Object:
    container: Object = {"name": name, "image": image, "resources": {}}
    if command:
        container["command"] = command
    return {"containers": [container], "restartPolicy": restart}


@creates(
    "cronjob",
    "cj",
    flags=(
        text("--image", needed=True, help="Image to run."),
        text("--schedule", needed=True, help='When, as cron has it: "*/5 * * * *".'),
        text("--restart", help="OnFailure or Never."),
    ),
    help="Create a cron job.",
    failed="failed to create cronjob: ",
)
def cronjob(call: Call, name: str) -> Object:
    pod = _pod(name, call.options.image, call.after, call.options.restart or "OnFailure")
    template = {"metadata": _meta(name), "spec": {"template": {"metadata": {}, "spec": pod}}}
    spec = {"schedule": call.options.schedule, "jobTemplate": template}
    return {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": _meta(name), "spec": spec, "status": {}}


service = group_of(
    "service", "svc", help="Create a service: clusterip, nodeport, loadbalancer or externalname."
)


_TCP = many("--tcp", split=True, help="PORT or PORT:TARGETPORT.")


def _service(name: str, type_: str, ports: list[str], **spec: object) -> Object:
    made = {"type": type_, "selector": {"app": name}, **spec}
    if ports:
        made["ports"] = [_service_port(word) for word in ports]
    metadata = _meta(name, labels={"app": name})
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata,
        "spec": made,
        "status": {"loadBalancer": {}},
    }


def _service_port(word: str) -> Object:
    port, colon, target = word.partition(":")
    target = target.partition(":")[0] or port
    if not port.isdigit():
        raise Failure(f'strconv.ParseUint: parsing "{port}": invalid syntax')
    to: int | str = int(target) if target.isdigit() else target
    if colon and isinstance(to, int) and (problems := port_number(to)):
        raise Failure(",".join(problems))
    if isinstance(to, str) and (problems := port_name(to)):
        raise Failure(",".join(problems))
    return {"name": word.replace(":", "-"), "protocol": "TCP", "port": int(port), "targetPort": to}


@creates(
    "clusterip",
    flags=(_TCP, text("--clusterip", help='An address of your own, or "None".')),
    help="A service with an address inside the cluster.",
    failed="failed to create ClusterIP service: ",
    under=service,
)
def clusterip(call: Call, name: str) -> Object:
    ip = call.options.clusterip
    if ip != "None" and not call.options.tcp:
        raise Failure("at least one tcp port specifier must be provided")
    return _service(name, "ClusterIP", call.options.tcp, **({"clusterIP": ip} if ip else {}))


@creates(
    "nodeport",
    flags=(_TCP, number("--node-port", default=0, help="The port on every node.")),
    help="A service with a port on every node.",
    failed="failed to create NodePort service: ",
    under=service,
)
def nodeport(call: Call, name: str) -> Object:
    if not call.options.tcp:
        raise Failure("at least one tcp port specifier must be provided")
    made = _service(name, "NodePort", call.options.tcp)
    if call.options.node_port:
        for port in made["spec"]["ports"]:
            port["nodePort"] = call.options.node_port
    return made


@creates(
    "loadbalancer",
    flags=(_TCP,),
    help="A service with an address outside the cluster.",
    failed="failed to create LoadBalancer service: ",
    under=service,
)
def loadbalancer(call: Call, name: str) -> Object:
    if not call.options.tcp:
        raise Failure("at least one tcp port specifier must be provided")
    return _service(name, "LoadBalancer", call.options.tcp)


@creates(
    "externalname",
    flags=(_TCP, text("--external-name", needed=True, help="The name that it stands for.")),
    help="A service that is another name.",
    failed="failed to create ExternalName service: ",
    under=service,
)
def externalname(call: Call, name: str) -> Object:
    if dns1123_subdomain(call.options.external_name):
        raise Failure(f"invalid service external name {call.options.external_name}")
    return _service(name, "ExternalName", call.options.tcp, externalName=call.options.external_name)


_RULE = re.compile(
    r"^(?P<host>[\w*\-.]*/)(?P<path>.*)=(?P<service>[\w\-]+:[\w\-]+)(?:,(?P<tls>tls)=?(?P<secret>[\w\-]+)?)?"
)


@creates(
    "ingress",
    "ing",
    flags=(
        many("--rule", help="HOST/PATH=SERVICE:PORT[,tls[=SECRET]]"),
        text("--class", help="The ingress class."),
        text("--default-backend", help="SERVICE:PORT for everything else."),
        many("--annotation", help="KEY=VALUE"),
    ),
    help="Create an ingress.",
    failed="failed to create ingress: ",
)
def ingress(call: Call, name: str) -> Object:
    options = call.options
    if not options.rule and not options.default_backend:
        raise Failure(
            "not enough information provided: every ingress has to either specify a default-backend (which catches all "
            "traffic) or a list of rules (which catch specific paths)"
        )
    rules: dict[str, list[Object]] = {}
    tls: dict[str, list[str]] = {}
    secured: set[str] = set()
    for word in options.rule:
        if not (match := _RULE.match(word)):
            raise Failure(
                f"rule {word} is invalid and should be in format host/path=svcname:svcport[,tls[=secret]]"
            )
        host, path = match["host"][:-1], "/" + match["path"]
        type_ = "Prefix" if path.endswith("*") else "Exact"
        backend = _backend(match["service"])
        rules.setdefault(host, []).append(
            {"path": path.removesuffix("*"), "pathType": type_, "backend": backend}
        )
        if match["tls"] and host not in secured:
            secured.add(host)
            tls.setdefault(match["secret"] or "", []).extend([host] if host else [])
    spec: Object = {}
    if getattr(options, "class"):
        spec["ingressClassName"] = getattr(options, "class")
    if options.default_backend:
        if not re.fullmatch(r"[\w\-]+:[\w\-]+", options.default_backend):
            raise Failure("default-backend should be in format servicename:serviceport")
        spec["defaultBackend"] = _backend(options.default_backend)
    if tls:
        spec["tls"] = [
            {**({"hosts": hosts} if hosts else {}), **({"secretName": secret} if secret else {})}
            for secret, hosts in tls.items()
            if secret or hosts
        ]
    if rules:
        spec["rules"] = [
            {**({"host": host} if host else {}), "http": {"paths": paths}} for host, paths in rules.items()
        ]
    metadata = _meta(name)
    if options.annotation:
        bad = next((word for word in options.annotation if "=" not in word), None)
        if bad is not None:
            raise Failure(f"annotation {bad} is invalid and should be in format key=[value]")
        metadata["annotations"] = dict(word.split("=", 1) for word in options.annotation)
    status: Object = {"loadBalancer": {}}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": metadata,
        "spec": spec,
        "status": status,
    }


def _backend(word: str) -> Object:
    name, _, port = word.partition(":")
    return {"service": {"name": name, "port": {"number": int(port)} if port.isdigit() else {"name": port}}}


@creates(
    "poddisruptionbudget",
    "pdb",
    flags=(
        text("--min-available", help="Pods, or a share of them, that must stay."),
        text("--max-unavailable", help="Pods, or a share of them, that may be missing."),
        text("--selector", help="Labels of the pods."),
    ),
    help="Create a pod disruption budget.",
    failed="failed to create poddisruptionbudgets: ",
)
def poddisruptionbudget(call: Call, name: str) -> Object:
    options = call.options
    if not options.selector:
        raise Failure("a selector must be specified")
    if not options.min_available and not options.max_unavailable:
        raise Failure("one of min-available or max-unavailable must be specified")
    if options.min_available and options.max_unavailable:
        raise Failure("min-available and max-unavailable cannot be both specified")
    spec: Object = {"selector": selector_object(options.selector)}
    for field, value in (
        ("minAvailable", options.min_available),
        ("maxUnavailable", options.max_unavailable),
    ):
        if value:
            if not re.fullmatch(r"\d+%?", value):
                raise Failure(
                    f"invalid format specified for {'min-available' if field[0:3] == 'min' else 'max-unavailable'}"
                )
            spec[field] = int(value) if value.isdigit() else value
    status = {"currentHealthy": 0, "desiredHealthy": 0, "disruptionsAllowed": 0, "expectedPods": 0}
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": _meta(name),
        "spec": spec,
        "status": status,
    }


def selector_object(text_: str) -> Object:
    """The LabelSelector of `a=b,c in (d)`."""
    from ..api.selectors import SelectorError, parse_labels

    selector: Object = {}
    try:
        needs = parse_labels(text_)
    except SelectorError as error:
        raise Failure(f'couldn\'t parse the selector string "{text_}": {error}')
    for need in needs:
        if need.operator in ("=", "==") or (need.operator == "in" and len(need.values) == 1):
            selector.setdefault("matchLabels", {})[need.key] = need.values[0]
        else:
            names = {"in": "In", "notin": "NotIn", "!=": "NotIn", "exists": "Exists", "!": "DoesNotExist"}
            expression: Object = {"key": need.key, "operator": names.get(need.operator, need.operator)}
            if need.values:
                expression["values"] = list(need.values)
            selector.setdefault("matchExpressions", []).append(expression)
    return selector


@creates(
    "quota",
    "resourcequota",
    flags=(text("--hard", help="RESOURCE=QUANTITY,…"), text("--scopes", help="SCOPE,…")),
    help="Create a resource quota.",
    failed="failed to create quota: ",
)
def quota(call: Call, name: str) -> Object:
    spec: Object = {}
    if call.options.hard:
        hard = {}
        for word in call.options.hard.split(","):
            key, equals, value = word.partition("=")
            if not equals or "=" in value:
                raise Failure(f"Invalid argument syntax {word}, expected <resource>=<value>")
            try:
                hard[key] = str(Quantity.parse(value))
            except ValueError as error:
                raise Failure(str(error))
        spec["hard"] = hard
    if call.options.scopes:
        spec["scopes"] = call.options.scopes.split(",")
        if "" in spec["scopes"]:
            raise Failure('invalid resource quota scope ""')
    return {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": _meta(name), "spec": spec, "status": {}}


@creates(
    "priorityclass",
    "pc",
    flags=(
        number("--value", default=0, help="The priority."),
        flag("--global-default", help="For pods without a class."),
        text("--description", help="What it is for."),
        text("--preemption-policy", default="PreemptLowerPriority", help="PreemptLowerPriority or Never."),
    ),
    help="Create a priority class.",
    failed="failed to create priorityclass: ",
)
def priorityclass(call: Call, name: str) -> Object:
    options = call.options
    made: Object = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": _meta(name)}
    made |= {"value": options.value, "preemptionPolicy": options.preemption_policy}
    if options.global_default:
        made["globalDefault"] = True
    if options.description:
        made["description"] = options.description
    return made
