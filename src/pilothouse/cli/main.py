"""`pilothouse`: the table of commands. A command is one file, imported when it is asked for, and one line here."""

from __future__ import annotations

import importlib
import sys

import click

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
    "describe": ("describe_command", "Show details of resources", "Resources"),
    "apply": ("apply", "Apply manifests", "Resources"),
    "create": ("create", "Create resources", "Resources"),
    "patch": ("patch", "Update fields of a resource", "Resources"),
    "label": ("label", "Update the labels on resources", "Resources"),
    "annotate": ("annotate", "Update the annotations on resources", "Resources"),
    "scale": ("scale", "Set a new size", "Resources"),
    "rollout": ("rollout", "Manage the rollout of a workload", "Resources"),
    "expose": ("expose", "Make a Service for a workload", "Resources"),
    "run": ("run", "Run an image in a pod", "Resources"),
    "wait": ("wait", "Wait for a condition", "Resources"),
    "events": ("events", "List events", "Resources"),
    "logs": ("logs", "Print the logs of a container, or of a cluster's components", "Pods"),
    "exec": ("exec", "Execute a command in a container", "Pods"),
    "port-forward": ("port_forward", "Forward local ports to a pod", "Pods"),
    "api-resources": ("api_resources", "Print the resources that the server knows", "Other"),
    "version": ("version", "Print the client's and the server's version", "Other"),
}


class Commands(click.Group):
    """Loads a command's module only when it is used: `--help` and `get` must be quick."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"{__package__}.{COMMANDS[cmd_name][0]}")
        return module.command  # type: ignore[no-any-return]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        sections: dict[str, list[tuple[str, str]]] = {}
        for name, (_, text, section) in COMMANDS.items():
            sections.setdefault(section, []).append((name, text))
        for section, rows in sections.items():
            with formatter.section(section):
                formatter.write_dl(rows)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="pilothouse", prog_name="pilothouse")
def cli() -> None:
    """A whole Kubernetes in one command.

    `pilothouse up` starts a cluster; kubectl, or the same verbs of this command, work on it.
    """


def main() -> None:
    from ..api.errors import ApiError
    from ..cluster.config import ConfigError
    from ..cluster.kubeconfig import KubeconfigError
    from ..cluster.manage import ClusterError

    try:
        cli(standalone_mode=False)
    except click.exceptions.Exit as exit_:
        sys.exit(exit_.exit_code)
    except click.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except ApiError as error:
        reason = f" ({error.reason})" if error.reason else ""
        click.echo(f"Error from server{reason}: {error.message}", err=True)
        sys.exit(1)
    except (ClusterError, ConfigError, KubeconfigError) as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(1)
    except ConnectionError as error:
        click.echo(f"The connection to the server was refused or lost: {error}", err=True)
        sys.exit(1)
    except BrokenPipeError:
        sys.exit(141)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
