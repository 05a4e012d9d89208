"""What a simulated container does: a `Script`, from the pod's annotation, or read off the command. Pure.

A pod says it with `simulated.pilothouse.io/<container>: '{"duration_s": 5, "exit_code": 1}'`, any field of `Script`.
Without that, the few commands that manifests use to stand for work are understood (`sleep 5`, `false`,
`sh -c "echo x; sleep 5; exit 1"`); anything else runs for ever and obeys SIGTERM, as a server does.
"""

from __future__ import annotations

import dataclasses
import json
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

ANNOTATION_PREFIX = "simulated.pilothouse.io/"
SHELLS = {"sh", "bash", "ash", "dash"}
_LOOPS = {"while", "until", "for"}
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True, slots=True)
class Script:
    """`duration_s` None: for ever. After SIGTERM it needs `stop_s`, None: it ignores SIGTERM, and is killed (137)."""

    duration_s: float | None = None
    exit_code: int = 0
    start_delay_s: float = 0.0  # start_container takes so long
    stop_s: float | None = 0.0
    stop_exit_code: int = 0
    ready_after_s: float = 0.0  # probes fail before; counted from the container's start
    ready_until_s: float | None = None  # and from then on again
    exec_exit_code: int | None = None  # of every command by exec_sync; None: read off the command
    cpu_cores: float = 0.01
    memory_bytes: int = 16 * 1024 * 1024  # above the container's limit, it is OOM-killed when it starts
    output: str = ""
    message: str = ""  # what it writes to its termination log


FOREVER = Script()


def script_of(container: str, annotations: dict[str, str], command: Sequence[str]) -> Script:
    """Raises ValueError for an annotation that cannot be read: what was asked for must not be guessed."""
    if text := annotations.get(ANNOTATION_PREFIX + container):
        try:
            return Script(**json.loads(text))
        except (TypeError, ValueError) as error:
            known = ", ".join(field.name for field in dataclasses.fields(Script))
            raise ValueError(f"{ANNOTATION_PREFIX}{container}: {error}; known are {known}") from None
    return command_script(command)


def command_script(command: Sequence[str]) -> Script:
    """What a process with these arguments does, as the container's first process."""
    if not command:
        return FOREVER
    run = _run_shell(command[2]) if _is_shell(command) else _run(list(command))
    if run is None:
        return FOREVER
    # PID 1 without a handler is not ended by SIGTERM: neither `sleep` nor a shell has one
    return Script(duration_s=run.seconds, exit_code=run.code, stop_s=None, output=run.output)


def command_result(command: Sequence[str]) -> tuple[float | None, int, str]:
    """(seconds, exit code, output) of a command that is run in a container; seconds None: it does not end."""
    run = _run_shell(command[2]) if _is_shell(command) else _run(list(command))
    return (run.seconds, run.code, run.output) if run else (0.0, 0, "")


@dataclass(slots=True)
class _Run:
    """How a command went; `seconds` None: it never ended."""

    seconds: float | None = 0.0
    code: int = 0
    output: str = ""
    exits: bool = False  # the shell ends here


def _is_shell(command: Sequence[str]) -> bool:
    return len(command) >= 3 and command[0].rpartition("/")[2] in SHELLS and command[1] in ("-c", "-ec")


def _run_shell(text: str) -> _Run:
    """The commands of a shell script one after the other; one that is not known takes no time and succeeds."""
    total = _Run()
    for separator, part in _parts(text):
        if (separator == "&&" and total.code) or (separator == "||" and not total.code):
            continue
        try:
            words = shlex.split(part)
        except ValueError:
            words = part.split()
        if words[:1] == ["exec"]:
            words = words[1:]
        if not words:
            continue
        if words[0] in _LOOPS:
            total.seconds = None
            return total
        done = _run(words) or _Run()
        total.code, total.output = done.code, total.output + done.output
        if done.seconds is None:
            total.seconds = None
            return total
        total.seconds = (total.seconds or 0.0) + done.seconds
        if done.exits:
            break
    return total


def _parts(text: str) -> list[tuple[str, str]]:
    """(separator before it, command) for each command of a script; quotes hold a command together."""
    pieces = re.findall(r"""(?:'[^']*'|"(?:\\.|[^"\\])*"|\\.|[^;&|\n'"\\])+|&&|\|\||[;&|\n]|['"\\]""", text)
    parts, separator, words = [], "", ""
    for piece in [*pieces, ";"]:
        if piece in ("&&", "||", ";", "\n"):
            if words.strip():
                parts.append((separator, words))
            separator, words = piece, ""
        else:
            words += piece
    return parts


def _run(words: list[str]) -> _Run | None:
    """One command; None when it is not known."""
    name, arguments = words[0].rpartition("/")[2], words[1:]
    match name:
        case "sleep":
            return _Run(_seconds(arguments))
        case "true" | ":":
            return _Run()
        case "false":
            return _Run(code=1)
        case "exit":
            return _Run(code=_whole(arguments), exits=True)
        case "echo":
            kept = [word for word in arguments if not word.startswith(">")]
            return _Run(output=" ".join(kept) + "\n" if kept == arguments else "")
        case _:
            return None


def _seconds(arguments: list[str]) -> float | None:
    """`sleep`'s arguments: they add up; None for ever."""
    total = 0.0
    for argument in arguments:
        if argument in ("infinity", "inf"):
            return None
        if not (match := re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", argument)):
            return 0.0
        total += float(match[1]) * _UNITS[match[2]]
    return total


def _whole(arguments: list[str]) -> int:
    return int(arguments[0]) & 255 if arguments and arguments[0].isdigit() else 0
