"""What goes through the server: a `Request` that each stage reads and adds to, and the `Response` that comes back.

`http.py` makes the first and writes out the second, and looks at nothing but HTTP. The later stages fill in the fields
below `peer`; they are empty until then.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from ..api.object import Object

if TYPE_CHECKING:
    from .audit import Pending
    from .flow_control import FlowSchema
    from .routes import RequestInfo


@dataclass(frozen=True, slots=True)
class User:
    """Who asks (`authentication/user.Info`)."""

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: dict[str, list[str]] = field(default_factory=dict)


ANONYMOUS = User("system:anonymous", ("system:unauthenticated",))
AUTHENTICATED = "system:authenticated"


def service_account(
    namespace: str, name: str, uid: str = "", extra: dict[str, list[str]] | None = None
) -> User:
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", AUTHENTICATED)
    return User(f"system:serviceaccount:{namespace}:{name}", groups, uid, extra or {})


def control_plane_user(account: str) -> User:
    """Whom a part of the control plane acts as: an account of kube-system; "" is the controller manager itself."""
    return service_account("kube-system", account) if account else CONTROLLER_MANAGER


def node_user(name: str) -> User:
    return User(f"system:node:{name}", ("system:nodes", AUTHENTICATED))


CONTROLLER_MANAGER = User("system:kube-controller-manager", (AUTHENTICATED,))
SCHEDULER = User("system:kube-scheduler", (AUTHENTICATED,))
APISERVER = User("system:apiserver", ("system:masters", AUTHENTICATED))


@dataclass(slots=True)
class Request:
    method: str
    path: str  # decoded
    query: str  # raw
    headers: dict[str, str]  # names in lower case; repeated ones joined by ", "
    body: bytes = b""
    peer_certificate: bytes = b""  # DER, verified by the TLS layer
    peer: str = ""  # the client's address
    body_too_large: bool = False  # more than the limit: it was read and dropped

    # filled in on the way
    parameters: dict[str, list[str]] = field(default_factory=dict)
    info: RequestInfo | None = None
    user: User = ANONYMOUS
    warnings: list[str] = field(default_factory=list)
    object: Object | None = None  # in-process callers hand over the object instead of a body
    flow: FlowSchema | None = None  # whose share of the server it takes
    audit: Pending | None = None  # where the audit policy wants to know of this request

    def parameter(self, name: str) -> str:
        """The first value in the query; "" if there is none."""
        values = self.parameters.get(name)
        return values[0] if values else ""


class RawConnection(Protocol):
    """A connection after an upgrade: bytes in both directions, both bounded."""

    async def read(self) -> bytes:
        """Some bytes; b"" when the client has closed."""
        ...

    async def write(self, data: bytes) -> None:
        """Returns once there is room for more."""
        ...

    def close(self) -> None: ...


def chunk(data: bytes) -> bytes:
    """Some bytes of an answer as they go over the wire (RFC 9112, 7.1)."""
    return b"%x\r\n%b\r\n" % (len(data), data)


class Sink(Protocol):
    """Where a `Source` writes to: the rest of one answer."""

    def push(self, chunk: bytes) -> bool:
        """Writes a `chunk`. False: no more now, until `Source.resume`."""
        ...

    def finish(self) -> None:
        """The answer is complete."""
        ...


class Source(Protocol):
    """An answer that is pushed, without a task: thousands of watches wait for the same event."""

    def start(self, sink: Sink) -> None: ...

    def resume(self) -> None:
        """There is room again."""
        ...

    def stop(self) -> None:
        """The client is gone, or the server stops. Called once, and also after `finish`."""
        ...


@dataclass(slots=True)
class Response:
    """One of four: `body` at once, `stream` pulled in chunks, `source` pushed, or `upgrade` (status 101) with the raw connection."""

    status: int = 200
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    stream: AsyncIterator[bytes] | None = None
    source: Source | None = None
    upgrade: Callable[[RawConnection], Awaitable[Any]] | None = None
    content_type: str = "application/json"
    value: Object | None = None  # what the body says, for callers in this process
