"""`pilothouse`: the table of commands. A command is one file, imported when it is asked for, and one line here."""

from __future__ import annotations

import importlib
import os
import sys

import click

from ..api.errors import ApiError
from .errors import Failure, Failures, message_of
from .verb import GLOBAL, Parsed, flag, program

# name: (module below pilothouse.cli, one line of help, section)
COMMANDS: dict[str, tuple[str, str, str]] = {
    "up": ("cluster_up", "Start a cluster, and wait until it is ready", "Clusters"),
    "stop": ("cluster_stop", "Stop a cluster; its state stays", "Clusters"),
    "delete": ("delete", "Delete a cluster, or resources by file, name or label", "Clusters"),
    "list": ("cluster_list", "List the clusters", "Clusters"),
    "status": ("cluster_status", "Show a cluster: versions, nodes, addresses, memory, CPU", "Clusters"),
    "kubeconfig": ("cluster_kubeconfig", "Print a cluster's kubeconfig", "Clusters"),
    "token": ("cluster_token", "Print a bearer token of a cluster's admin", "Clusters"),
    "image": ("cluster_image", "Load images into a cluster, or list them", "Clusters"),
    "get": ("get", "Display one or many resources", "Resources"),
    "describe": ("describe", "Show details of resources", "Resources"),
    "explain": ("explain", "Explain the fields of a resource", "Resources"),
    "create": ("create", "Create a resource from a file or from flags", "Resources"),
    "apply": ("apply", "Make objects what the files say", "Resources"),
    "diff": ("diff", "Show what `apply` would change", "Resources"),
    "replace": ("replace", "Replace objects by those in files", "Resources"),
    "patch": ("patch", "Update fields of a resource", "Resources"),
    "edit": ("edit", "Edit resources in an editor", "Resources"),
    "label": ("label", "Update the labels on resources", "Resources"),
    "annotate": ("annotate", "Update the annotations on resources", "Resources"),
    "run": ("run", "Run an image in a pod", "Workloads"),
    "expose": ("expose", "Make a Service for a workload", "Workloads"),
    "set": ("set_command", "Set images, environment, resources of workloads", "Workloads"),
    "scale": ("scale", "Set a new size", "Workloads"),
    "autoscale": ("autoscale", "Scale with the load", "Workloads"),
    "rollout": ("rollout", "Manage the rollout of a workload", "Workloads"),
    "wait": ("wait", "Wait for a condition", "Workloads"),
    "logs": ("logs", "Print the logs of a container, or of a cluster's components", "Pods"),
    "exec": ("exec_command", "Execute a command in a container", "Pods"),
    "attach": ("attach", "Attach to a running container", "Pods"),
    "port-forward": ("port_forward", "Forward local ports to a pod", "Pods"),
    "cp": ("cp", "Copy files from and to containers", "Pods"),
    "cordon": ("cordon", "Mark a node as unschedulable", "Nodes"),
    "uncordon": ("uncordon", "Mark a node as schedulable", "Nodes"),
    "drain": ("drain", "Move the pods off a node", "Nodes"),
    "taint": ("taint", "Update the taints on nodes", "Nodes"),
    "top": ("top", "Display resource usage (needs a metrics API)", "Other"),
    "events": ("events", "List events", "Other"),
    "auth": ("auth", "Ask what one may do, and who one is", "Other"),
    "certificate": ("certificate", "Approve and deny certificate requests", "Other"),
    "api-resources": ("api_resources", "Print the resources that the server knows", "Other"),
    "api-versions": ("api_versions", "Print the API versions that the server knows", "Other"),
    "config": ("config", "Show and change the kubeconfig", "Other"),
    "cluster-info": ("info", "Print the address of the control plane", "Other"),
    "version": ("version", "Print the client's and the server's version", "Other"),
}


ELSEWHERE = {
    "start": "up",
    "down": "stop",
    "destroy": "delete",
    "rm": "delete",
    "ls": "list",
    "ps": "list",
    "load": "image load",
}
"""What other tools call it."""


class Commands(click.Group):
    """Loads a command's module only when it is used: `--help` and `get` must be quick."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"{__package__}.{COMMANDS[cmd_name][0]}")
        return module.command  # type: ignore[no-any-return]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Global flags may stand before the verb too: what they say is handed down in `ctx.params`."""
        parsed = Parsed([*GLOBAL, flag("-h", "--help"), flag("--version")], program())
        rest = parsed.read(args, interspersed=False)
        if parsed.values.pop("version", False):
            from .. import __version__

            click.echo(f"pilothouse, version {__version__}")
            ctx.exit()
        if parsed.values.pop("help", False) or not rest:
            click.echo(ctx.get_help())
            ctx.exit()
        if rest[0] not in COMMANDS:
            raise Failure(_unknown(rest[0]))
        ctx.params = parsed.values
        ctx._protected_args, ctx.args = rest[:1], rest[1:]
        return ctx.args

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        sections: dict[str, list[tuple[str, str]]] = {}
        for name, (_, text, section) in COMMANDS.items():
            sections.setdefault(section, []).append((name, text))
        for section, rows in sections.items():
            with formatter.section(section):
                formatter.write_dl(rows)


def _unknown(word: str) -> str:
    near = [ELSEWHERE[word]] if word in ELSEWHERE else []
    near += [name for name in sorted(COMMANDS) if name.startswith(word) or _distance(word, name) <= 2]
    hint = "\n\nDid you mean this?\n" + "".join(f"\t{name}\n" for name in dict.fromkeys(near)) if near else ""
    return f'unknown command "{word}" for "{program()}"{hint}'


def _distance(a: str, b: str) -> int:
    """Levenshtein's."""
    row = list(range(len(b) + 1))
    for i, left in enumerate(a, 1):
        diagonal, row[0] = row[0], i
        for j, right in enumerate(b, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (left != right))
    return row[-1]


cli = Commands(
    "pilothouse",
    help="""A whole Kubernetes in one command.

    `pilothouse up` starts a cluster; kubectl, or the same verbs of this command, work on it.
    `pilothouse COMMAND --help` explains a command, `pilothouse --version` says which Pilothouse this is.
    """,
)


def main() -> None:
    sys.exit(_main())


def _main() -> int:
    try:
        code = cli.main(standalone_mode=False)
        return code if isinstance(code, int) else 0
    except click.exceptions.Exit as exit_:
        return int(exit_.exit_code)
    except click.ClickException as error:  # of the commands on clusters, whose parser is click's own
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return 130
    except (Failure, Failures) as error:
        if message := message_of(error):
            click.echo(message.removesuffix("\n"), err=True)
        return error.code
    except ApiError as error:
        click.echo(message_of(error), err=True)
        return 1
    except BrokenPipeError:
        os.close(sys.stdout.fileno())
        return 141
    except OSError as error:
        click.echo(f"error: {error}", err=True)
        return 1
    except Exception as error:
        if type(error).__name__ not in EXPECTED:
            raise
        click.echo(f"error: {error}", err=True)
        return 1


EXPECTED = ("ClusterError", "ConfigError", "KubeconfigError")
"""By name, so that `get` need not import what only the commands on clusters use."""

if __name__ == "__main__":
    main()
