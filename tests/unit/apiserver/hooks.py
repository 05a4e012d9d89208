"""Somebody's webhook server for tests, and a server that is asked as over HTTP."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable

from pilothouse.apiserver.__main__ import self_signed
from pilothouse.apiserver.http import server_tls
from pilothouse.apiserver.request import Request, Response
from pilothouse.apiserver.server import ApiServer


class HookServer:
    """Answers every POST with what `answer` makes of the review; `reviews` are those that came."""

    def __init__(self, folder):
        self._files = self_signed(folder)
        self.reviews: list[tuple[str, dict]] = []
        self.connections, self.closes = 0, False
        self.answer: Callable[[str, dict], dict] = lambda path, review: {}
        self.ca_bundle = base64.b64encode(open(self._files[0], "rb").read()).decode()

    async def start(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=server_tls(*self._files))
        self.port = self._server.sockets[0].getsockname()[1]

    def stop(self):
        self._server.close()

    def config(self, path: str) -> dict:
        return {"url": f"https://localhost:{self.port}/{path}", "caBundle": self.ca_bundle}

    async def _serve(self, reader, writer):
        self.connections += 1
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                length = int(head.partition("content-length: ")[2].split()[0])
                review = json.loads(await reader.readexactly(length))
                path = head.split()[1].partition("?")[0].strip("/")
                self.reviews.append((path, review))
                body = json.dumps(self.answer(path, review)).encode()
                head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
                writer.write(head % len(body) + body)
                await writer.drain()
                if self.closes:
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


def admission(review: dict, *patch: dict, **response) -> dict:
    """An AdmissionReview's answer: allowed, with what is given."""
    response = {"uid": review["request"]["uid"], "allowed": True, **response}
    if patch:
        encoded = base64.b64encode(json.dumps(patch).encode()).decode()
        response |= {"patch": encoded, "patchType": "JSONPatch"}
    return {"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "response": response}


async def ask(
    server: ApiServer, method: str, path: str, body: object = None, token: str = "t", query: str = ""
):
    """(status, body, warnings)"""
    headers = {
        "authorization": f"Bearer {token}",
        "accept": "application/json",
        "content-type": "application/json",
    }
    if method == "PATCH":
        headers["content-type"] = "application/merge-patch+json"
    sent = b"" if body is None else json.dumps(body).encode()
    answer = server.handle(Request(method, path, query, headers, sent, peer="127.0.0.1:9"))
    answer = answer if isinstance(answer, Response) else await answer
    warnings = [value.split('"')[1] for name, value in answer.headers if name.lower() == "warning"]
    body = (
        json.loads(answer.body) if answer.body and answer.content_type == "application/json" else answer.body
    )
    return answer.status, body, warnings
