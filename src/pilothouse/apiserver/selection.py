"""The objects that a list or a watch wants: label and field selectors, parsed once and asked for each entry."""

from __future__ import annotations

from collections.abc import Callable

from ..api.crd.kinds import CustomKind
from ..api.errors import bad_request
from ..api.kinds import Kind
from ..api.object import Object
from ..api.selectors import (
    FieldRequirement,
    Matcher,
    SelectorError,
    compile_labels,
    everything,
    field_extractor,
    field_label_error,
    parse_fields,
)
from .cache import Entry
from .options import ListOptions


class Selection:
    """`matches(entry)`. `single_name`: the one name that can match, if the field selector says so; `node`: the one node."""

    __slots__ = ("_fields", "_labels", "everything", "node", "single_name")

    def __init__(
        self,
        labels: Matcher,
        fields: list[tuple[Callable[[Object], str], FieldRequirement]],
        single_name: str,
        node: str = "",
    ):
        self._labels, self._fields, self.single_name, self.node = labels, fields, single_name, node
        self.everything = labels is everything and not fields

    def matches(self, entry: Entry) -> bool:
        if self.everything:
            return True
        if not self._labels(entry.labels):
            return False
        if self._fields:
            obj = entry.object
            return all(requirement.holds(extract(obj)) for extract, requirement in self._fields)
        return True


EVERYTHING = Selection(everything, [], "")


def selection_of(kind: Kind, options: ListOptions, name: str = "") -> Selection:
    """Raises 400. `name`: of a watch on one object by its path."""
    if not options.label_selector and not options.field_selector and not name:
        return EVERYTHING
    try:
        labels = compile_labels(options.label_selector) if options.label_selector else everything
    except SelectorError as error:
        raise bad_request(str(error))
    try:
        requirements = parse_fields(options.field_selector) if options.field_selector else ()
    except SelectorError as error:
        raise bad_request(str(error))
    fields = []
    single, node = name, ""
    if name and not requirements:
        requirements = (FieldRequirement("metadata.name", "=", name),)
    for requirement in requirements:
        extract = field_extractor(kind.resource, requirement.field)
        if isinstance(kind, CustomKind) and (extract is None or not kind.namespaced):
            extract = extract if requirement.field == "metadata.name" else kind.field(requirement.field)
        if extract is None:
            raise bad_request(field_label_error(kind.resource, requirement.field, kind.custom))
        if requirement.field == "metadata.name" and requirement.operator == "=":
            single = requirement.value
        if kind.resource == "pods" and requirement.field == "spec.nodeName" and requirement.operator == "=":
            node = requirement.value
        fields.append((extract, requirement))
    if name and FieldRequirement("metadata.name", "=", name) not in requirements:
        raise bad_request("fieldSelector metadata.name doesn't match requested name")
    return Selection(labels, fields, single, node)
