"""What pods refer to, asked from the API server: ConfigMaps, Secrets, claims, volumes, and the tokens of service accounts."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..api.errors import ApiError
from ..api.object import Object, name_of, namespace_of, uid_of
from ..base.clock import Clock, parse_timestamp
from ..client.interface import Client

TOKEN_REFRESH = 0.8  # of its life; and after a day (kubelet's token manager)
TOKEN_AGE_MAX_S = 24 * 3600.0


@dataclass(slots=True)
class _Token:
    text: str
    refresh_at: float
    expires_at: float


@dataclass(slots=True)
class ApiSources:
    """`volumes.VolumeSources` on a client."""

    client: Client
    clock: Clock
    _tokens: dict[tuple[str, str, int], _Token] = field(default_factory=dict)

    async def _get(self, resource: str, namespace: str, name: str) -> Object | None:
        try:
            return await self.client.get(resource, namespace, name)
        except ApiError as error:
            if error.code == 404:
                return None
            raise

    async def config_map(self, namespace: str, name: str) -> Object | None:
        return await self._get("configmaps", namespace, name)

    async def secret(self, namespace: str, name: str) -> Object | None:
        return await self._get("secrets", namespace, name)

    async def claim(self, namespace: str, name: str) -> Object | None:
        return await self._get("persistentvolumeclaims", namespace, name)

    async def volume(self, name: str) -> Object | None:
        return await self._get("persistentvolumes", "", name)

    async def runtime_handler(self, pod: Object) -> str:
        """Of the pod's RuntimeClass; "" for the engine's own. Raises LookupError."""
        name = pod["spec"].get("runtimeClassName")
        if not name:
            return ""
        found = await self._get("runtimeclasses.node.k8s.io", "", name)
        if found is None:
            raise LookupError(
                f'failed to get RuntimeClass {name}: runtimeclass.node.k8s.io "{name}" not found'
            )
        return str(found.get("handler") or "")

    async def token(self, pod: Object, audience: str, expiration_s: int) -> str:
        """The same one until it is time for a new one; an old one is kept while no new one can be had."""
        key, now = (uid_of(pod), audience, expiration_s), self.clock.now()
        known = self._tokens.get(key)
        if known is not None and now < known.refresh_at:
            return known.text
        reference = {"kind": "Pod", "apiVersion": "v1", "name": name_of(pod), "uid": uid_of(pod)}
        spec: Object = {"expirationSeconds": expiration_s, "boundObjectRef": reference}
        if audience:
            spec["audiences"] = [audience]
        try:
            answer = await self.client.create(
                "serviceaccounts",
                {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec},
                namespace=namespace_of(pod),
                name=pod["spec"].get("serviceAccountName") or "default",
                subresource="token",
            )
        except ApiError:
            if known is not None and now < known.expires_at:
                return known.text
            raise
        status = answer["status"]
        expires = parse_timestamp(status["expirationTimestamp"])
        refresh = min(now + (expires - now) * TOKEN_REFRESH, now + TOKEN_AGE_MAX_S)
        self._tokens[key] = _Token(status["token"], refresh, expires)
        return str(status["token"])

    def forget(self, uid: str) -> None:
        for key in [key for key in self._tokens if key[0] == uid]:
            del self._tokens[key]
