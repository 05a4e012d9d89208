"""Which form an answer takes: what the client accepts, against what we can make.

JSON and YAML; and as a whole object, a Table (what kubectl prints) or only its metadata. Protobuf is read but not written: clients that
prefer it name JSON as second, and get that.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from ..api.errors import ApiError

JSON, YAML, ANY = "application/json", "application/yaml", "*/*"
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


# What a real server's routes are declared to produce: its router asks for one of these by its very name, before any handler looks.
MEDIA = (JSON, YAML, "application/vnd.kubernetes.protobuf")
STREAMS = ("application/json;stream=watch", "application/vnd.kubernetes.protobuf;stream=watch")
LISTS = MEDIA + STREAMS


def not_acceptable(available: Iterable[str] = MEDIA) -> ApiError:
    return ApiError(
        406, "NotAcceptable", f"406: Not Acceptable\n\nAvailable representations: {', '.join(available)}"
    )


def wrong_media(why: str) -> ApiError:
    return ApiError(406, "NotAcceptable", why, details=False)


@dataclass(frozen=True, slots=True)
class Clause:
    media: str
    parameters: dict[str, str]
    quality: float


def clauses(accept: str) -> list[Clause]:
    """The clauses of an Accept header, best first, the narrower before the wider; what is none is passed over."""
    found = []
    for part in accept.split(","):
        media, *rest = part.strip(" ").split(";")
        type_, _, subtype = media.partition("/")
        if media == "*":
            subtype = "*"
        if not subtype or "/" in subtype:
            continue
        parameters = {}
        quality = 1.0
        for piece in rest:
            name, _, value = (text.strip(" ") for text in piece.partition("="))
            if not value or "=" in value:
                continue
            if name != "q":
                parameters[name] = value
                continue
            try:
                quality = float(value)
            except ValueError:
                quality = 0.0
        found.append(Clause(f"{type_.strip(' ')}/{subtype.strip(' ')}", parameters, quality))
    return sorted(found, key=lambda c: (-c.quality, c.media.startswith("*/"), c.media.endswith("/*")))


def routed(accept: str, produced: Iterable[str] = MEDIA) -> None:
    """Raises 406 for what the router of a real server turns away: it knows no `application/*` and no weights."""
    for part in (accept or ANY).split(","):
        media = part.partition(";")[0].strip(" ")
        if media == ANY or media in produced:
            return
    raise not_acceptable(produced)


@lru_cache(maxsize=1024)
def negotiate(
    accept: str,
    *,
    produced: tuple[str, ...] = MEDIA,
    transforms: bool = True,
    tables: bool = True,
    watch: bool = False,
) -> Form:
    """Raises 406. `produced`: what the route is declared to produce (nothing: there is no such route in a real server);
    `transforms`: whether this endpoint can answer with Tables and metadata; `tables`: with Tables."""
    if not accept or accept == JSON:
        return PLAIN
    if produced:
        routed(accept, produced)
    for clause in clauses(accept):
        media = {ANY: JSON, "application/*": JSON, JSON: JSON, YAML: YAML}.get(clause.media, "")
        parameters = clause.parameters
        if not media or parameters.get("stream", "watch") != "watch":
            continue
        as_kind, version = parameters.get("as", ""), parameters.get("v", "")
        if as_kind or version or "g" in parameters:
            known = parameters.get("g") == "meta.k8s.io" and version in ("v1", "v1beta1")
            if not known or as_kind not in (TABLE, PARTIAL, PARTIAL_LIST):
                continue
            if not transforms or (as_kind == TABLE and not tables):
                continue
        if watch and media == YAML:
            raise wrong_media(f"only the following media types are accepted: {', '.join(STREAMS)}")
        return Form(media, as_kind, version if as_kind else "", parameters.get("pretty") == "1")
    raise wrong_media(f"only the following media types are accepted: {', '.join(MEDIA)}")


def error_form(accept: str) -> Form:
    """How an error is shown: JSON to who accepts nothing that we have."""
    try:
        return negotiate(accept, produced=(), transforms=False)
    except ApiError:
        return PLAIN
