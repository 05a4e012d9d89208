"""`pilothouse autoscale`"""

from __future__ import annotations

import click

from ..api.errors import ApiError
from ..api.object import Object
from ..api.quantity import Quantity
from .create import SAVE, make
from .errors import Failure
from .targets import Finder
from .verb import FILES, WRITE, Call, dry_run_of, number, text, verb


@verb(
    "autoscale",
    *FILES,
    *WRITE,
    *SAVE,
    number("--min", default=-1, help="At least so many."),
    number("--max", needed=True, help="At most so many."),
    number("--cpu-percent", default=-1, help="Target share of the CPU request."),
    text("--cpu", help="Target of CPU: 80% or 500m."),
    text("--memory", help="Target of memory: 80% or 500Mi."),
    text("--name", help="Of the autoscaler."),
    help="Scale with the load: `autoscale deployment web --min=2 --max=5`.",
)
async def command(call: Call) -> None:
    options = call.options
    if options.max < 1:
        raise Failure(f"--max=MAXPODS is required and must be at least 1, max: {options.max}")
    if options.max < options.min:
        raise Failure(
            f"--max=MAXPODS must be larger or equal to --min=MINPODS, max: {options.max}, min: {options.min}"
        )
    if options.given("cpu_percent"):
        click.echo(
            "Flag --cpu-percent has been deprecated, Use --cpu with percentage or resource quantity format "
            "(e.g., '70%' for utilization or '500m' for milliCPU).",
            err=True,
        )
    if options.cpu and options.given("cpu_percent"):
        raise Failure("--cpu-percent and --cpu are mutually exclusive")
    finder = Finder(call)
    for info in await finder.run(load=True):
        if all(each.name != "scale" for each in info.kind.subresources) and not info.kind.custom:
            version = f"{info.kind.group}/{info.kind.version}, Resource={info.kind.plural}"
            why = f"could not find scale subresource for {version} in discovery information"
            raise Failure(f"cannot autoscale a {info.kind.kind}: {why}")
        reference = {"apiVersion": info.kind.api_version, "kind": info.kind.kind, "name": info.name}
        spec: Object = {"scaleTargetRef": reference, "maxReplicas": options.max}
        if options.min > 0:
            spec["minReplicas"] = options.min
        targets = [("cpu", options.cpu or (f"{options.cpu_percent}%" if options.cpu_percent >= 0 else ""))]
        metrics = [_metric(name, value) for name, value in [*targets, ("memory", options.memory)] if value]
        if metrics:
            spec["metrics"] = metrics
        metadata: Object = {"name": options.name or info.name, "namespace": info.namespace}
        hpa = {
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": metadata,
            "spec": spec,
            "status": {"currentMetrics": None, "desiredReplicas": 0},
        }
        done = "created" if dry_run_of(options) == "client" else "autoscaled"
        try:
            await make(call, hpa, done, manager="kubectl-autoscale")
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise
            raise (
                Failure(
                    "failed to create autoscaling/v2 HPA and the configuration is incompatible with autoscaling/v1: empty input"
                )
                if len(metrics) != 1
                else error
            )
    finder.end()


def _metric(name: str, value: str) -> Object:
    if value.endswith("%"):
        if not value[:-1].isdigit():
            raise Failure(f"invalid resource {name} value: {value}")
        target: Object = {"type": "Utilization", "averageUtilization": int(value[:-1])}
    else:
        try:
            Quantity.parse(value)
        except ValueError:
            raise Failure(f"invalid resource {name} value: {value}")
        target = {"type": "AverageValue", "averageValue": value}
    return {"type": "Resource", "resource": {"name": name, "target": target}}
