"""One write under way: who does what to which object. It is also what admission plugins see (`admission.Attributes`)."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field
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

    __slots__ = ("_seen", "round", "wanted")

    def __init__(self) -> None:
        self._seen: dict[tuple[str, ...], tuple[Object, bool]] = {}
        self.round = 0
        self.wanted = False

    def allows(self, key: tuple[str, ...], if_needed: bool, obj: Object | None) -> bool:
        if self.round == 0 or key not in self._seen:
            return True
        return if_needed and self._seen[key][0] != obj

    def done(self, key: tuple[str, ...], obj: Object, changed: bool) -> None:
        self._seen[key] = (deepcopy(obj), changed)
        if changed and self.round == 0:
            self.wanted = True


@dataclass(slots=True)
class Operation:
    kind: Kind
    strategy: Strategy
    verb: str  # CREATE, UPDATE, DELETE or CONNECT
    user: User
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    object: Object | None = None  # as it is to be; None for a delete
    old: Object | None = None  # as it is; None for a create
    options: Object = field(default_factory=dict)
    dry_run: bool = False
    field_manager: str = ""
    requested: Kind | None = None  # the version that was asked for; `kind` is the stored one
    patch: bool = False
    collection: bool = False  # one of many that one request deletes
    applied: bool = False  # a server-side apply, which says itself who owns what
    by_update: bool = False  # a create by way of PUT or apply: for those who may create
    warnings: list[str] = field(default_factory=list)
    annotations: dict[str, str] = field(default_factory=dict)  # for the audit log
    reinvocation: Reinvocation = field(default_factory=Reinvocation)  # of mutating policies and webhooks
    # what goes into the same transaction
    conditions: list[Condition] = field(default_factory=list)
    puts: list[Put] = field(default_factory=list)
    deletes: list[str] = field(default_factory=list)
    allocated: dict[str, bool] = field(
        default_factory=dict
    )  # what a strategy chose itself, and may choose anew

    @property
    def checked_as(self) -> Kind:
        """An Event is checked by the name that it came under, what is in versions only as it is stored."""
        return self.kind if self.kind.custom or self.requested is None else self.requested

    @property
    def resource(self) -> str:
        return self.kind.resource

    def warn(self, text: str) -> None:
        if text not in self.warnings:
            self.warnings.append(text)
