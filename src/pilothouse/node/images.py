"""Images of containers: pull policy, credentials, back-off, and the events and waiting reasons that go with them (kubelet's pkg/kubelet/images)."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field

from ..api.object import Object, namespace_of, uid_of
from ..base.clock import Clock
from ..runtime.images import full_name
from ..runtime.interface import Engine, EngineError, Image
from .observed import Backoff
from .sources import ApiSources

Tell = Callable[[str, str, str], None]  # (type, reason, message) about the container

# github.com/distribution/reference's grammar
_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_PART = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_NAME = re.compile(
    rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?/(?P<path>{_PART}(?:/{_PART})*)(?::\w[\w.-]{{0,127}})?"
    r"(?:@(?P<algorithm>[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*):(?P<hex>[0-9a-fA-F]{32,}))?",
    re.ASCII,
)
_PATH_MAX = 255
_DIGESTS = {"sha256": 64, "sha384": 96, "sha512": 128}


class ImageError(Exception):
    """The image is not to be had (yet): what the container waits for. `retry_s`: when to look again."""

    def __init__(self, reason: str, message: str, retry_s: float):
        super().__init__(message)
        self.reason, self.message, self.retry_s = reason, message, retry_s


@dataclass(slots=True)
class _Attempts:
    backoff: Backoff = field(default_factory=Backoff)
    error: str = ""


@dataclass(slots=True)
class ImagePuller:
    engine: Engine
    clock: Clock
    sources: ApiSources
    retry_s: float = 10.0  # for what does not come by waiting
    _attempts: dict[tuple[str, str], _Attempts] = field(default_factory=dict)

    async def ensure(self, pod: Object, container: Object, tell: Tell) -> Image:
        """The image, pulled if its policy wants it. Raises ImageError."""
        image = container.get("image") or ""
        if problem := invalid_name(image):
            message = f'Failed to apply default image tag "{image}": {problem}'
            tell("Warning", "InspectFailed", message)
            raise ImageError("InvalidImageName", message, self.retry_s)
        policy = container.get("imagePullPolicy") or default_policy(image)
        name = full_name(image)
        try:
            present = await self.engine.image_status(name)
        except EngineError as error:
            message = f'Failed to inspect image "": {rpc_error(error)}'
            tell("Warning", "InspectFailed", message)
            raise ImageError("ImageInspectError", message, self.retry_s)
        if present is not None and policy != "Always":
            tell(
                "Normal",
                "Pulled",
                f'Container image "{image}" already present on machine and can be accessed by the pod',
            )
            return present
        if policy == "Never":
            message = f'Container image "{image}" is not present with pull policy of Never'
            tell("Warning", "ErrImageNeverPull", message)
            raise ImageError("ErrImageNeverPull", message, self.retry_s)
        return await self._pull(pod, image, name, tell)

    async def _pull(self, pod: Object, image: str, name: str, tell: Tell) -> Image:
        attempts = self._attempts.setdefault((uid_of(pod), name), _Attempts())
        now = self.clock.now()
        left = attempts.backoff.remaining_s(attempts.backoff.updated, now)
        if left > 0:
            message = f'Back-off pulling image "{image}"'
            tell("Normal", "BackOff", message)
            full = f"{message}: ErrImagePull: {attempts.error}" if attempts.error else message
            raise ImageError("ImagePullBackOff", full, left)
        tell("Normal", "Pulling", f'Pulling image "{image}"')
        started = self.clock.monotonic()
        failure = ""
        for auth in await self._credentials(pod, name) or [None]:
            try:
                await self.engine.pull_image(name, auth)
                found = await self.engine.image_status(name)
                failure = "" if found else f"image {name} vanished"
            except EngineError as error:
                failure, found = rpc_error(error), None
            if found is not None:
                took = duration(self.clock.monotonic() - started)
                tell(
                    "Normal",
                    "Pulled",
                    f'Successfully pulled image "{image}" in {took} ({took} including waiting). Image size: {found.size_bytes} bytes.',
                )
                self._attempts.pop((uid_of(pod), name), None)
                return found
        attempts.backoff.next(self.clock.now(), self.clock.now())
        attempts.error = failure
        tell("Warning", "Failed", f'Failed to pull image "{image}": {failure}')
        raise ImageError("ErrImagePull", failure, attempts.backoff.seconds)

    async def _credentials(self, pod: Object, name: str) -> list[dict[str, str] | None]:
        found: list[dict[str, str] | None] = []
        for reference in pod["spec"].get("imagePullSecrets") or ():
            secret = await self.sources.secret(namespace_of(pod), reference.get("name") or "")
            if secret is not None:
                found += credentials(secret, name)
        return found

    def forget(self, uid: str) -> None:
        for key in [key for key in self._attempts if key[0] == uid]:
            del self._attempts[key]


def default_policy(image: str) -> str:
    tag = full_name(image).partition("@")[0].rpartition("/")[2].partition(":")[2]
    return "Always" if tag == "latest" and "@" not in image else "IfNotPresent"


def invalid_name(image: str) -> str:
    """What is wrong with an image's name, in the words of the reference parser; "" for nothing."""
    why = _invalid(image)
    return f'couldn\'t parse image name "{image}": {why}' if why else ""


def _invalid(image: str) -> str:
    if re.fullmatch("[a-f0-9]{64}", image):
        return f"invalid repository name ({image}), cannot specify 64-byte hexadecimal strings"
    domain, slash, rest = image.partition("/")
    if not slash or not (set(domain) & set(".:") or domain == "localhost" or domain.lower() != domain):
        domain, rest = "docker.io", image
    repository = rest.partition(":")[0]
    if repository.lower() != repository:
        return f"invalid reference format: repository name ({repository}) must be lowercase"
    if (found := _NAME.fullmatch(f"{domain}/{rest}")) is None:
        return "invalid reference format"
    if len(found["path"]) > _PATH_MAX:
        return f"repository name must not be more than {_PATH_MAX} characters"
    if found["algorithm"] and found["algorithm"] not in _DIGESTS:
        return "unsupported digest algorithm"
    if found["algorithm"] and len(found["hex"]) != _DIGESTS[found["algorithm"]]:
        return "invalid checksum digest length"
    return ""


def credentials(secret: Object, name: str) -> list[dict[str, str] | None]:
    """Of a kubernetes.io/dockerconfigjson (or dockercfg) secret: those for the image's registry."""
    data = secret.get("data") or {}
    try:
        if text := data.get(".dockerconfigjson"):
            entries = json.loads(base64.b64decode(text)).get("auths") or {}
        elif text := data.get(".dockercfg"):
            entries = json.loads(base64.b64decode(text))
        else:
            return []
    except (ValueError, AttributeError):
        return []
    found: list[dict[str, str] | None] = []
    for server, entry in sorted(entries.items(), key=lambda item: -len(item[0])):
        where = re.sub(r"^https?://", "", server).rstrip("/")
        where = {"index.docker.io/v1": "docker.io", "index.docker.io": "docker.io"}.get(where, where)
        where = where.removesuffix("/v1").removesuffix("/v2")
        if not (name == where or name.startswith(where + "/")):
            continue
        user, password = entry.get("username") or "", entry.get("password") or ""
        if entry.get("auth") and not user:
            user, _, password = base64.b64decode(entry["auth"]).decode("utf-8", "replace").partition(":")
        found.append({"username": user, "password": password})
    return found


def rpc_error(error: EngineError) -> str:
    """As gRPC's errors print in Go."""
    code = "".join(part.capitalize() for part in error.code.split("_"))
    return f"rpc error: code = {code} desc = {error.message}"


def duration(seconds: float) -> str:
    """A Go duration, cut to milliseconds: 850ms, 2.5s, 1m2s."""
    milli = int(seconds * 1000)
    if milli < 1000:
        return f"{milli}ms" if milli else "0s"
    minutes, rest = divmod(milli, 60_000)
    text = f"{rest / 1000:.3f}".rstrip("0").rstrip(".") + "s"
    return f"{minutes}m{text}" if minutes else text
