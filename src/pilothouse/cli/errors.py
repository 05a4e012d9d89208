"""What a failed command says, word for word as kubectl says it, and the code that it ends with."""

from __future__ import annotations

from ..api.errors import ApiError


class Failure(Exception):
    """A command cannot go on: the message as people read it ("error: …" is put in front where kubectl does)."""

    def __init__(self, message: str, code: int = 1, *, plain: bool = False):
        super().__init__(message)
        self.message, self.code, self.plain = message, code, plain


class Failures(Exception):
    """Several things failed in one command; each is said."""

    def __init__(self, errors: list[Exception], code: int = 1):
        super().__init__("; ".join(map(str, errors)))
        self.errors, self.code = errors, code


def message_of(error: Exception) -> str:
    """The lines for standard error, without the last line end; "" when there is nothing to say."""
    if isinstance(error, Failures):
        if len(error.errors) == 1:
            return message_of(error.errors[0])
        return "\n".join(_short(each) for each in error.errors)
    if isinstance(error, ApiError):
        return _invalid(error) if error.reason == "Invalid" else _short(error)
    if isinstance(error, Failure):
        if error.plain or not error.message or error.message.startswith("error: "):
            return error.message
        return f"error: {error.message}"
    return f"error: {error}"


def _short(error: Exception) -> str:
    if isinstance(error, Failure):  # one of several: without "error: "
        return error.message
    if not isinstance(error, ApiError):
        return message_of(error)
    if error.reason == "Unauthorized":
        return f"error: You must be logged in to the server ({_unauthorized(error)})"
    reason = f" ({error.reason})" if error.reason else ""
    return f"Error from server{reason}: {error.message}"


def _unauthorized(error: ApiError) -> str:
    """client-go puts its own words in the place of the bare "Unauthorized"."""
    if error.message == "Unauthorized":
        return "the server has asked for the client to provide credentials"
    return error.message


def _invalid(error: ApiError) -> str:
    """422: every field on a line of its own."""
    start = "The request is invalid"
    if error.kind or error.name:
        start = f'The {error.kind} "{error.name}" is invalid'
    elif error.message and not error.causes:
        start += f": {error.message}"
    causes = list(dict.fromkeys(f"{cause.field}: {cause.message}" for cause in error.causes))
    if len(causes) == 1:
        return f"{start}: {causes[0]}"
    return "\n".join([f"{start}: " if causes else start, *(f"* {cause}" for cause in causes)])


def while_doing(verb: str, source: str, error: ApiError) -> ApiError:
    """The error, saying which file it came from: `error when creating "web.yaml": …`."""
    return renamed(error, f'error when {verb} "{source}": {error.message}') if source else error


def renamed(error: ApiError, message: str) -> ApiError:
    """The same error with another message."""
    return ApiError(
        error.code,
        error.reason,
        message,
        kind=error.kind,
        group=error.group,
        name=error.name,
        uid=error.uid,
        causes=error.causes,
    )
