"""Which form an answer takes: what the client accepts, against what we can make.

JSON and YAML; and as a whole object, a Table (what kubectl prints) or only its metadata. Protobuf is read but not written: clients that
prefer it name JSON as second, and get that.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from ..api.errors import ApiError

JSON, YAML = "application/json", "application/yaml"
TABLE, PARTIAL, PARTIAL_LIST = "Table", "PartialObjectMetadata", "PartialObjectMetadataList"


@dataclass(frozen=True, slots=True)
class Form:
    media: str = JSON
    as_kind: str = ""  # "", Table, PartialObjectMetadata or PartialObjectMetadataList
    as_version: str = ""
    pretty: bool = False

    @property
    def plain(self) -> bool:
        return self.media == JSON and not self.as_kind and not self.pretty


PLAIN = Form()


def not_acceptable(*available: str) -> ApiError:
    shown = available or (
        "application/json",
        "application/yaml",
        "application/vnd.kubernetes.protobuf",
        "application/json;stream=watch",
        "application/vnd.kubernetes.protobuf;stream=watch",
    )
    return ApiError(
        406, "NotAcceptable", f"406: Not Acceptable\n\nAvailable representations: {', '.join(shown)}"
    )


@dataclass(frozen=True, slots=True)
class Clause:
    media: str
    parameters: dict[str, str]
    quality: float


def clauses(accept: str) -> list[Clause]:
    """The clauses of an Accept header, best first (RFC 9110, 12.5.1)."""
    found = []
    for part in accept.split(","):
        media, *rest = (piece.strip() for piece in part.split(";"))
        if not media:
            continue
        parameters = {}
        quality = 1.0
        for piece in rest:
            name, _, value = piece.partition("=")
            if name.strip() == "q":
                try:
                    quality = float(value)
                except ValueError:
                    quality = 1.0
            else:
                parameters[name.strip()] = value.strip()
        found.append(Clause(media.lower(), parameters, quality))
    return sorted(found, key=lambda clause: -clause.quality)


_MEDIA = "application/json, application/yaml, application/vnd.kubernetes.protobuf"


@lru_cache(maxsize=1024)
def negotiate(accept: str, *, transforms: bool = True, tables: bool = True, watch: bool = False) -> Form:
    """Raises 406. `transforms`: whether this endpoint can answer with Tables and metadata; `tables`: with Tables."""
    if not accept or accept == JSON:
        return PLAIN
    unfit = False
    for clause in clauses(accept):
        media = {"*/*": JSON, "application/*": JSON, JSON: JSON, YAML: YAML, "text/yaml": ""}.get(
            clause.media, ""
        )
        if not media or clause.quality == 0:
            continue
        if watch and media == YAML:
            continue
        if watch and clause.parameters.get("stream") not in (None, "watch"):
            continue
        as_kind = clause.parameters.get("as", "")
        if as_kind:
            known = clause.parameters.get("g") == "meta.k8s.io" and (
                clause.parameters.get("v") in ("v1", "v1beta1") and as_kind in (TABLE, PARTIAL, PARTIAL_LIST)
            )
            if not known or not transforms or (as_kind == TABLE and not tables):
                unfit = True
                continue
        pretty = clause.parameters.get("pretty") == "1"
        return Form(media, as_kind, clause.parameters.get("v", "") if as_kind else "", pretty)
    if unfit:
        why = f"only the following media types are accepted: {_MEDIA}"
        raise ApiError(406, "NotAcceptable", why, details=False)
    raise not_acceptable()
