"""What a controller is, and what its plans are made of. `runtime.py` is the shell that runs all of them.

The contract of a controller (the same for every one, so that who knows this page can read any of them):

- **Level-based.** `reconcile(key, view, now)` compares what should be with what the caches (`view`) say is, and returns
  a `Plan`. Which event woke it is not known to it, and must not matter: events may be lost, doubled, or merged.
- **Pure.** It does no I/O, asks nobody for time, changes nothing that it was given. Called twice with the same view it
  plans the same; called once the plan has come true, it plans nothing.
- **Absence is an answer.** The object of the key may be gone; then there is usually nothing to do.
- A plan's actions are executed in their order, and the first that fails ends it (a `Batch` is the exception: its actions
  go out together). What must still happen after a failure, such as telling it in the status, goes into `Plan.then`,
  which is pure too, and gets the errors.
- After a failure the key comes back with growing delay (5 ms to 1,000 s); `requeue_after_s` asks to be called again
  although nothing failed. Both are upper bounds: any change calls earlier.

The rule that makes caches safe: **a key is not reconciled again before the caches have seen what its last plan wrote**
(resource versions are comparable numbers, so "seen" is one comparison). So a plan never creates a pod twice because its
informer lags, and no controller keeps books of expectations. What a cache cannot tell is asked for by a *guard* in the
plan (`StillThere`, `StillAbsent`): a live read, and the plan ends quietly when it does not hold.

A new controller is one new file, and one line in `table.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple, Protocol

from ..api.errors import ApiError
from ..api.object import Object, key_of
from ..base.random import Random
from ..client.informer import IndexFunction, Lister
from .queue import DELAYS_S


@dataclass(frozen=True, slots=True)
class Event:
    """Tell people."""

    about: Object
    type: str  # Normal or Warning
    reason: str
    message: str
    annotations: dict[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Tell:
    """The event that follows an action: `done` and `failed` are (reason, message); {name} and {error} are filled in.
    `so`: what fails with it, and is told too."""

    about: Object
    done: tuple[str, str] | None = None
    failed: tuple[str, str] | None = None
    so: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Create:
    """`then`: what follows once it is there, from what the server made of it (or, where AlreadyExists is ignored, from
    the one that was there)."""

    resource: str
    obj: Object
    tell: Tell | None = None
    ignore: tuple[str, ...] = ()  # reasons of errors that count as success: "AlreadyExists"
    then: Callable[[Object], list[Action]] | None = None


@dataclass(frozen=True, slots=True)
class Update:
    """The whole object; with subresource "status" for its status."""

    resource: str
    obj: Object
    subresource: str = ""
    tell: Tell | None = None
    ignore: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Patch:
    resource: str
    namespace: str
    name: str
    patch: Any
    type: str = "merge"
    subresource: str = ""
    tell: Tell | None = None
    ignore: tuple[str, ...] = ("NotFound",)


@dataclass(frozen=True, slots=True)
class Delete:
    """`uid` guards against deleting a namesake that came later."""

    resource: str
    namespace: str
    name: str
    uid: str = ""
    propagation: str = ""
    grace_period_s: int | None = None
    resource_version: str = ""
    tell: Tell | None = None
    ignore: tuple[str, ...] = ("NotFound",)


@dataclass(frozen=True, slots=True)
class DeleteCollection:
    resource: str
    namespace: str


@dataclass(frozen=True, slots=True)
class StillThere:
    """A guard: goes on only if the server still has this very object, and it is not being deleted."""

    resource: str
    namespace: str
    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class StillAbsent:
    """A guard: goes on only if the server has no such object (or, with a uid, another of that name)."""

    resource: str
    namespace: str
    name: str
    uid: str = ""


@dataclass(frozen=True, slots=True)
class StillEmpty:
    """A guard: goes on only if the server has no object of these resources in the namespace."""

    resources: tuple[str, ...]
    namespace: str


@dataclass(frozen=True, slots=True)
class Batch:
    """Actions without order among them. `slow_start`: 1, then 2, 4, …, stopping where one fails, so that what is
    refused (a quota) is not asked a thousand times."""

    actions: tuple[Action, ...]
    slow_start: bool = False


@dataclass(frozen=True, slots=True)
class Effect:
    """Work outside the API that is not pure (making a directory): `run` is awaited. Named, for logs and tests."""

    name: str
    run: Callable[[], Any]


Action = (
    Event
    | Create
    | Update
    | Patch
    | Delete
    | DeleteCollection
    | StillThere
    | StillAbsent
    | StillEmpty
    | Batch
    | Effect
)


@dataclass(frozen=True, slots=True)
class Plan:
    """`then` is called once, after the actions, with the errors they had: for what has to follow either way."""

    actions: list[Action] = field(default_factory=list)
    requeue_after_s: float | None = None
    then: Callable[[list[ApiError]], list[Action]] | None = None


NOTHING = Plan()


class View(Protocol):
    """The caches, as a reconcile sees them."""

    def of(self, resource: str) -> Lister: ...


class Later(NamedTuple):
    """A key that is woken after a while (which may depend on the time), so that what happens until then is seen as one."""

    key: str
    delay_s: float | Callable[[float], float]


Keys = Iterable[str | Later]
Source = Callable[[Object | None, Object | None, View], Keys]


class Controller:
    """The base of every controller; see the module's contract."""

    name: ClassVar[str]  # as in `--controllers`: deployment
    component: ClassVar[str]  # as in events: deployment-controller
    account: ClassVar[str | None] = (
        None  # of kube-system, whose rights it has; None: as `component`; "": the manager's own
    )
    workers: ClassVar[int] = 5
    retry_delays_s: ClassVar[tuple[float, float]] = DELAYS_S
    delays_s: ClassVar[
        Mapping[str, float]
    ] = {}  # resource -> how much later its changes wake (to be seen as one)
    extra_resources: ClassVar[tuple[str, ...]] = ()  # read through the view, but waking nobody

    def __init__(self, env: Environment):
        self.env = env

    @property
    def sources(self) -> Mapping[str, Source]:
        """Which keys a change of which resource wakes."""
        raise NotImplementedError

    @property
    def indexes(self) -> Mapping[str, Mapping[str, IndexFunction]]:
        """Indexes that `reconcile` wants: resource → name → function."""
        return {}

    def reconcile(self, key: str, view: View, now: float) -> Plan:
        raise NotImplementedError

    def custom_source(self, resource: str, namespaced: bool) -> Source | None:
        """For controllers of all kinds: what a custom resource wakes. Its indexes are `custom_indexes`."""
        return None

    def custom_gone(self, resource: str) -> None:
        """Its definition was removed: there is no such kind any more."""

    @property
    def custom_indexes(self) -> Mapping[str, IndexFunction]:
        return {}


@dataclass(slots=True)
class Environment:
    """What controllers may need to know of the cluster they run in. All of it plain values."""

    random: Random
    cluster_domain: str = "cluster.local"
    root_ca: str = ""  # PEM, for kube-root-ca.crt and token secrets
    cluster_ca: tuple[str, str] | None = None  # certificate and key (PEM) that sign what is approved
    may_request: Callable[[Object, str], bool] | None = (
        None  # (spec of a CSR, subresource): may its user create it?
    )
    data_directory: str = ""  # local-path volumes live under it
    load_balancer_pool: tuple[str, str] | None = (
        None  # first and last address for Services of type LoadBalancer
    )
    node_monitor_grace_s: float = 50.0
    node_monitor_period_s: float = 5.0
    terminated_pod_threshold: int = 12500
    issue_token: Callable[[Object, Object], str] | None = None  # (service account, secret) -> token


def own(old: Object | None, new: Object | None, view: View) -> list[str]:
    """A source: the object itself is the key."""
    obj = new or old
    return [key_of(obj)] if obj else []
