"""One write under way: who does what to which object. It is also what admission plugins see (`admission.Attributes`)."""

from __future__ import annotations

from copy import copy, deepcopy
from typing import TYPE_CHECKING

from ...api.kinds import Kind
from ...api.object import Object
from ...store.interface import Condition, Put
from ..request import User

if TYPE_CHECKING:
    from .strategy import Strategy

CREATE, UPDATE, DELETE, CONNECT = "CREATE", "UPDATE", "DELETE", "CONNECT"


class Reinvocation:
    """Of one write: who has run, and on which object. In the second round only those run that want to, and whose object changed since."""

    round = 0
    used = wanted = False

    def __init__(self) -> None:
        self._seen: dict[tuple[str, ...], tuple[Object, bool]] = {}

    def allows(self, key: tuple[str, ...], if_needed: bool, obj: Object | None) -> bool:
        if self.round == 0 or key not in self._seen:
            return True
        return if_needed and self._seen[key][0] != obj

    def done(self, key: tuple[str, ...], obj: Object, changed: bool) -> None:
        self.used = True
        self._seen[key] = (deepcopy(obj), changed)
        if changed and self.round == 0:
            self.wanted = True


class Operation:
    """No dataclass: each write makes one, and most of its fields are never touched."""

    object: Object | None = None  # as it is to be; None for a delete
    old: Object | None = None  # as it is; None for a create
    patch: bool = False
    collection: bool = False  # one of many that one request deletes
    applied: bool = False  # a server-side apply, which says itself who owns what
    by_update: bool = False  # a create by way of PUT or apply: for those who may create
    admitted: bool = False  # by the admission of another request: the pod of an eviction

    def __init__(
        self,
        kind: Kind,  # the version that is stored
        strategy: Strategy,
        verb: str,  # CREATE, UPDATE, DELETE or CONNECT
        user: User,
        namespace: str = "",
        name: str = "",
        subresource: str = "",
        *,
        requested: Kind | None = None,  # the version that was asked for
        dry_run: bool = False,
        field_manager: str = "",
        warnings: list[str] | None = None,
    ):
        self.kind, self.resource, self.strategy = kind, kind.resource, strategy
        self.verb, self.user = verb, user
        self.namespace, self.name, self.subresource = namespace, name, subresource
        self.requested, self.dry_run, self.field_manager = requested, dry_run, field_manager
        self.warnings: list[str] = [] if warnings is None else warnings
        self.options: Object = {}
        self.annotations: dict[str, str] = {}  # for the audit log
        self.reinvocation = Reinvocation()  # of mutating policies and webhooks
        self.allocated: dict[str, bool] = {}  # what a strategy chose itself, and may choose anew
        # what goes into the same transaction
        self.conditions: list[Condition] = []
        self.puts: list[Put] = []
        self.deletes: list[str] = []

    def of_verb(self, verb: str) -> Operation:
        """The same, as another verb."""
        new = copy(self)
        new.verb, new.conditions, new.puts, new.deletes = verb, [], [], []
        return new

    @property
    def shown_name(self) -> str:
        """In refusals: while it is mutated, an object has no generated name yet."""
        return self.name or ((self.object or {}).get("metadata") or {}).get("generateName") or "Unknown"

    @property
    def checked_as(self) -> Kind:
        """An Event is checked by the name that it came under, what is in versions only as it is stored."""
        return self.kind if self.kind.custom or self.requested is None else self.requested

    def warn(self, text: str) -> None:
        if text not in self.warnings:
            self.warnings.append(text)
