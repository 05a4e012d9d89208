"""kubectl's verbs as click commands: flags parsed as kubectl's own parser does, a connection opened, errors passed on.

A verb is a coroutine that gets a `Call`; `@verb(name, flag(…), text(…), …)` makes the click command of it. What click's
parser does not know is done here: `--watch=false`, `-ojson`, `--dry-run` without a value, what stands after `--`.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import click

from ..client.http import HttpClient
from .connection import Connection, Target
from .errors import Failure
from .timing import duration, log_line

Body = Callable[["Call"], Awaitable[int | None]]


def program() -> str:
    """How the user calls this command: `pilothouse`, or `kubectl` through a link of that name."""
    return "kubectl" if os.path.basename(sys.argv[0]) == "kubectl" else "pilothouse"


class Flag(click.Option):
    """One option. `shape`: bool, text, int, duration (as text), list (given several times), csv (also split at commas)."""

    def __init__(
        self, names: tuple[str, ...], shape: str, default: Any, bare: str | None, help: str, needed: bool
    ):
        super().__init__(list(names), is_flag=shape == "bool", help=help, default=None, hidden=not help)
        self.shape, self.initial, self.bare, self.needed = shape, default, bare, needed
        self.spelled = next((name[2:] for name in names if name.startswith("--")), names[0].lstrip("-"))

    def value(self, text: str, before: Any) -> Any:
        """What the parsed text stands for. Raises Failure."""
        try:
            if self.shape == "bool":
                return _boolean(text)
            if self.shape == "int":
                return int(text)
            if self.shape == "duration":
                duration(text, self.spelled)
        except ValueError:
            call = "ParseBool" if self.shape == "bool" else "ParseInt"
            shown = ", ".join(sorted(self.opts + self.secondary_opts, key=len))
            raise Failure(
                f'invalid argument "{text}" for "{shown}" flag: strconv.{call}: parsing "{text}": invalid syntax'
            )
        if self.shape == "list":
            return [*(before or ()), text]
        if self.shape == "csv":
            return [*(before or ()), *text.split(",")]
        return text


def _boolean(text: str) -> bool:
    if text in ("1", "t", "T", "true", "TRUE", "True"):
        return True
    if text in ("0", "f", "F", "false", "FALSE", "False"):
        return False
    raise ValueError(text)


def flag(*names: str, default: bool = False, help: str = "") -> Flag:
    return Flag(names, "bool", default, "true", help, False)


def text(
    *names: str, default: str = "", bare: str | None = None, help: str = "", needed: bool = False
) -> Flag:
    """`bare`: what the option means without a value. `needed`: it must be given."""
    return Flag(names, "text", default, bare, help, needed)


def span(*names: str, default: str = "0s", help: str = "") -> Flag:
    """A duration: `90s`, `1h5m`."""
    return Flag(names, "duration", default, None, help, False)


def number(*names: str, default: int | None = None, help: str = "", needed: bool = False) -> Flag:
    return Flag(names, "int", default, None, help, needed)


def many(*names: str, split: bool = False, help: str = "", needed: bool = False) -> Flag:
    """May be given several times; `split`: values with commas are several too."""
    return Flag(names, "csv" if split else "list", None, None, help, needed)


GLOBAL: tuple[Flag, ...] = (
    text("-n", "--namespace", help="The namespace."),
    text("--context", help="The kubeconfig's context."),
    text("--kubeconfig", help="The kubeconfig."),
    text("--cluster", help="A cluster of this machine, by its name."),
    text("-s", "--server", help="Address of the API server."),
    text("--token", help="Bearer token."),
    text("--as", help="User to impersonate."),
    many("--as-group"),
    text("--as-uid"),
    text("--user"),
    flag("--insecure-skip-tls-verify"),
    text("--certificate-authority"),
    text("--client-certificate"),
    text("--client-key"),
    text("--tls-server-name"),
    text("--request-timeout"),
    text("-v", "--v"),
)

# Bundles that several verbs share.
FILES = (
    many("-f", "--filename", split=True, help="Files, folders, URLs, or - for standard input."),
    flag("-R", "--recursive", help="Folders with all that is in them."),
)
DRY_RUN = (text("--dry-run", default="none", bare="unchanged", help="none, client or server."),)
OUTPUT = (
    text("-o", "--output", help="yaml, json, name, jsonpath=…, go-template=…"),
    flag("--show-managed-fields"),
    text("--template"),
)
SELECTOR = (text("-l", "--selector", help="Labels to match."),)
FIELD_SELECTOR = (text("--field-selector", help="Fields to match."),)
ALL_NAMESPACES = (flag("-A", "--all-namespaces", help="In all namespaces."),)
WRITE = (*DRY_RUN, *OUTPUT, text("--field-manager"))


class Options:
    """The values of a verb's flags, as attributes: `options.dry_run`."""

    def __init__(self, values: dict[str, Any], given: set[str]):
        self._values, self._given = values, given

    def __getattr__(self, name: str) -> Any:
        return self._values[name]

    def get(self, name: str, default: Any = "") -> Any:
        """Of a flag that not every verb has."""
        return self._values.get(name, default)

    def given(self, name: str) -> bool:
        """Whether it was on the command line."""
        return name in self._given


class Call:
    """One run of a verb: what was typed, and the connection. `after` is what stood behind `--` (None without)."""

    def __init__(
        self, connection: Connection, words: list[str], after: list[str] | None, options: Options, path: str
    ):
        self.connection, self.words, self.after, self.options, self.path = (
            connection,
            words,
            after,
            options,
            path,
        )

    @property
    def client(self) -> HttpClient:
        return self.connection.client

    @property
    def namespace(self) -> str:
        return self.connection.namespace

    def usage(self, message: str) -> Failure:
        return Failure(f"{message}\nSee '{self.path} -h' for help and examples")

    def one_name(self) -> str:
        """The one NAME that `create` and its like take."""
        if len(self.words) != 1:
            raise self.usage(f"exactly one NAME is required, got {len(self.words)}")
        return self.words[0]


class Parsed:
    """Splits a command line by pflag's rules. `interspersed` False: ends at the first word."""

    def __init__(self, flags: Iterable[Flag], path: str):
        self._long: dict[str, Flag] = {}
        self._path = path
        for each in flags:
            for name in (*each.opts, *each.secondary_opts):
                self._long[name] = each
        self.values: dict[str, Any] = {}
        self.words: list[str] = []
        self.after: list[str] | None = None

    def read(self, args: list[str], interspersed: bool = True) -> list[str]:
        """Fills `values`, `words`, `after`; returns what was not read."""
        rest = list(args)
        while rest:
            word = rest.pop(0)
            if word == "--":
                self.after = rest
                return []
            if word.startswith("--"):
                name, equals, value = word.partition("=")
                self._set(name, value if equals else None, rest, f"unknown flag: {name}")
            elif word.startswith("-") and len(word) > 1:
                self._short(word, rest)
            elif interspersed:
                self.words.append(word)
            else:
                return [word, *rest]
        return []

    def _short(self, word: str, rest: list[str]) -> None:
        letters = word[1:]
        while letters:
            name, letters = f"-{letters[0]}", letters[1:]
            unknown = f"unknown shorthand flag: '{name[1]}' in {word}"
            option = self._find(name, unknown)
            if option.bare is None or letters.startswith("="):
                self._set(name, letters.removeprefix("=") if letters else None, rest, unknown)
                return
            self._set(name, None, rest, unknown)

    def _find(self, name: str, unknown: str) -> Flag:
        if name not in self._long:
            raise Failure(f"{unknown}\nSee '{self._path} --help' for usage.")
        return self._long[name]

    def _set(self, name: str, value: str | None, rest: list[str], unknown: str) -> None:
        option = self._find(name, unknown)
        if value is None and option.bare is not None:
            value = option.bare
        if value is None:
            if not rest:
                what = f"--{name[2:]}" if name.startswith("--") else f"'{name[1]}' in {name}"
                raise Failure(f"flag needs an argument: {what}\nSee '{self._path} --help' for usage.")
            value = rest.pop(0)
        try:
            self.values[option.name or ""] = option.value(value, self.values.get(option.name or ""))
        except Failure as error:
            raise Failure(f"{error.message}\nSee '{self._path} --help' for usage.")


class Verb(click.Command):
    """A click command whose parser is kubectl's. `commands`: what may follow it (`rollout status`)."""

    def __init__(
        self,
        name: str,
        body: Body | None,
        flags: Iterable[Flag],
        help: str,
        commands: dict[str, Verb] | None = None,
    ):
        options = list(flags)
        taken = {name for option in options for name in option.opts}
        options += [each for each in GLOBAL if not taken & set(each.opts)]
        super().__init__(
            name, params=list(options), help=help, context_settings={"help_option_names": ["-h", "--help"]}
        )
        self.body, self.flags, self.commands = body, options, commands or {}

    def subcommand(self, each: Verb, *aliases: str) -> Verb:
        for name in (each.name or "", *aliases):
            self.commands[name] = each
        return each

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        if self.commands:
            found = Parsed([*self.flags, _help()], info_name or "")
            # the first word decides; flags before it belong to the subcommand
            try:
                rest = found.read(list(args), interspersed=False)
            except Failure:
                rest = []
            if rest and rest[0] in self.commands:
                before = args[: len(args) - len(rest)]
                sub = self.commands[rest[0]]
                return sub.make_context(f"{info_name} {sub.name}", [*before, *rest[1:]], parent, **extra)
        return super().make_context(info_name, args, parent, **extra)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        path = f"{program()} {ctx.info_name}"
        parsed = Parsed([*self.flags, _help()], path)
        parsed.read(args)
        if parsed.values.pop("help", False) or (self.body is None and not parsed.words):
            bare = self.body is None and not args
            click.echo(ctx.get_help(), err=bare)
            ctx.exit(1 if bare else 0)
        if self.body is None:
            raise Failure(f"unknown command \"{parsed.words[0]}\"\nSee '{path} -h' for help and examples")
        missing = [
            f'"{each.spelled}"' for each in self.flags if each.needed and each.name not in parsed.values
        ]
        if missing:
            raise Failure(f"required flag(s) {', '.join(missing)} not set")
        inherited = ctx.find_root().params if ctx.parent else {}
        given = set(parsed.values) | set(inherited)
        values = {option.name or "": _initial(option) for option in self.flags}
        values |= inherited | parsed.values
        ctx.params = {
            "words": parsed.words,
            "after": parsed.after,
            "options": Options(values, given),
            "path": path,
        }
        return []

    def invoke(self, ctx: click.Context) -> Any:
        options: Options = ctx.params["options"]
        words, after, path = ctx.params["words"], ctx.params["after"], ctx.params["path"]
        body = self.body
        assert body is not None
        target = Target.of(options)

        async def main() -> int | None:
            async with Connection(target) as connection:
                return await body(Call(connection, words, after, options, path))

        if code := asyncio.run(main()):
            raise click.exceptions.Exit(code)

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write_usage(f"{program()} {ctx.info_name}", "[flags]" if self.body else "COMMAND")

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_options(ctx, formatter)
        if self.commands:
            with formatter.section("Commands"):
                shown = {each.name or "": each.get_short_help_str() for each in self.commands.values()}
                formatter.write_dl(list(shown.items()))


def _initial(option: Flag) -> Any:
    return [] if option.shape in ("list", "csv") else option.initial


def _help() -> Flag:
    return flag("-h", "--help")


def verb(name: str, *flags: Flag, help: str) -> Callable[[Body], Verb]:
    """The decorator that makes a command of a coroutine."""

    def decorate(body: Body) -> Verb:
        return Verb(name, body, flags, help)

    return decorate


def family(name: str, help: str) -> Verb:
    """A command that only has subcommands."""
    return Verb(name, None, (), help)


def dry_run_of(options: Options) -> str:
    """none, client or server. Raises Failure."""
    value = options.get("dry_run", "none")
    if value in ("none", "client", "server"):
        return str(value)
    if value == "unchanged":
        why = "--dry-run is deprecated and can be replaced with --dry-run=client."
        click.echo(log_line("helpers.go:719", why), err=True)
        return "client"
    try:
        meant = "client" if _boolean(value) else "none"
    except ValueError:
        raise Failure(f'Invalid dry-run value ({value}). Must be "none", "server", or "client".')
    why = f"--dry-run={value} is deprecated (boolean value) and can be replaced with --dry-run={meant}."
    click.echo(log_line("helpers.go:733", why), err=True)
    return meant


DRY_RUN_NOTE = {"none": "", "client": " (dry run)", "server": " (server dry run)"}
