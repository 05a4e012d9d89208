"""One write under way: who does what to which object. It is also what admission plugins see (`admission.Attributes`)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ...api.kinds import Kind
from ...api.object import Object
from ...store.interface import Condition, Put
from ..request import User

if TYPE_CHECKING:
    from .strategy import Strategy

CREATE, UPDATE, DELETE, CONNECT = "CREATE", "UPDATE", "DELETE", "CONNECT"


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
    applied: bool = False  # a server-side apply, which says itself who owns what
    by_update: bool = False  # a create by way of PUT or apply: for those who may create
    warnings: list[str] = field(default_factory=list)
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
