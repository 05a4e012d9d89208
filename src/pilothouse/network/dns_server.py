"""The cluster's DNS server: UDP and TCP around `dns.Zone`; what is not ours goes to the host's resolvers.

It runs beside the control plane and is reached through the Service `kube-dns`, like any other backend.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..base.random import Random
from .dns import TTL_S, Answer, Zone

if TYPE_CHECKING:
    import dns.message

log = logging.getLogger(__name__)
UDP_SIZE_MAX = 1232  # DNS flag day 2020
FORWARDS_MAX = 256  # queries under way to the upstream servers; more are refused
FORWARD_TIMEOUT_S = 4.0
TCP_IDLE_S = 30.0
RDTYPE_A, RDTYPE_AAAA = 1, 28


class DnsServer:
    """`await start()`, then it answers until `close()`. `upstream`: addresses of resolvers, tried in order."""

    def __init__(self, zone: Zone, upstream: list[str], random: Random):
        self._zone, self._upstream, self._random = zone, upstream, random
        self._forwards = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._udp: asyncio.DatagramTransport | None = None
        self._tcp: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> int:
        """Listens, and returns the port (chosen when it was 0; UDP and TCP have the same)."""
        import dns.message  # imported once, at start, not at the first query
        import dns.rrset  # noqa: F401

        loop = asyncio.get_running_loop()
        self._tcp = await asyncio.start_server(self._serve_tcp, host, port)
        port = self._tcp.sockets[0].getsockname()[1]
        self._udp, _ = await loop.create_datagram_endpoint(
            lambda: _Udp(self._on_udp), local_addr=(host, port)
        )
        return port

    async def close(self) -> None:
        if self._udp:
            self._udp.close()
        if self._tcp:
            self._tcp.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _on_udp(self, data: bytes, sender: Any) -> None:
        assert self._udp is not None
        reply = self.reply_locally(data, UDP_SIZE_MAX)
        if reply is not None:
            if reply:
                self._udp.sendto(reply, sender)
            return
        if self._forwards >= FORWARDS_MAX:
            return

        async def forward() -> None:
            answer = await self._reply_from_upstream(data, UDP_SIZE_MAX)
            if answer and self._udp and not self._udp.is_closing():
                self._udp.sendto(answer, sender)

        task = asyncio.get_running_loop().create_task(forward())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve_tcp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                async with asyncio.timeout(TCP_IDLE_S):
                    size = int.from_bytes(await reader.readexactly(2))
                    data = await reader.readexactly(size)
                reply = self.reply_locally(data, 65535)
                if reply is None:
                    reply = await self._reply_from_upstream(data, 65535)
                if not reply:
                    return
                writer.write(len(reply).to_bytes(2) + reply)
                await writer.drain()
        except (asyncio.IncompleteReadError, TimeoutError, ConnectionError):
            return
        finally:
            writer.close()

    def reply_locally(self, data: bytes, size_max: int) -> bytes | None:
        """The answer where we know it all; None where upstream must be asked, b"" for what is no query."""
        import dns.exception
        import dns.flags
        import dns.message
        import dns.rcode

        try:
            query = dns.message.from_wire(data)
        except (dns.exception.DNSException, ValueError, IndexError):
            return b""
        if query.flags & dns.flags.QR or len(query.question) != 1:
            return b""
        name = query.question[0].name.to_text(omit_final_dot=True).lower()
        if not self._zone.owns(name):
            if self._upstream:
                return None
            response = dns.message.make_response(query)
            response.set_rcode(dns.rcode.REFUSED)
            return response.to_wire()
        answer = self._zone.answer(name)
        self._random.shuffle(answer.addresses)
        response = dns.message.make_response(query)
        response.flags |= dns.flags.AA
        alias = answer.alias.rstrip(".").lower()
        fill(response, answer, self._zone)
        if alias and self._zone.owns(alias):
            fill(response, self._zone.answer(alias), self._zone, alias)
        elif alias and self._upstream and query.question[0].rdtype in (RDTYPE_A, RDTYPE_AAAA):
            return None
        return _to_wire(response, query, size_max)

    async def _reply_from_upstream(self, data: bytes, size_max: int) -> bytes:
        """What the world's resolvers say; with an alias of ours in front, where the name is one (ExternalName)."""
        import dns.exception
        import dns.message

        query = dns.message.from_wire(data)
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True).lower()
        if not self._zone.owns(name):
            return await self._forward(data)
        response = dns.message.make_response(query)
        answer = self._zone.answer(name)
        fill(response, answer, self._zone)
        target = dns.message.make_query(answer.alias, question.rdtype, id=query.id)
        try:
            response.answer += dns.message.from_wire(await self._forward(target.to_wire())).answer
        except dns.exception.DNSException as error:
            log.debug("dns: upstream's answer for %s: %s", answer.alias, error)
        return _to_wire(response, query, size_max)

    async def _forward(self, data: bytes) -> bytes:
        """Asks the upstream resolvers in order, and passes their answer on unread."""
        self._forwards += 1
        try:
            for server in self._upstream:
                try:
                    async with asyncio.timeout(FORWARD_TIMEOUT_S):
                        return await _ask(server, data)
                except (TimeoutError, OSError):
                    continue
            return _failure(data)
        finally:
            self._forwards -= 1


class _Udp(asyncio.DatagramProtocol):
    def __init__(self, received: Callable[[bytes, Any], None]):
        self._received = received

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self._received(data, addr)

    def error_received(self, exc: Exception) -> None:
        log.debug("dns: %s", exc)


async def _ask(server: str, data: bytes) -> bytes:
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[bytes] = loop.create_future()

    def received(reply: bytes, _: Any) -> None:
        if reply[:2] == data[:2] and not answer.done():
            answer.set_result(reply)

    transport, _ = await loop.create_datagram_endpoint(lambda: _Udp(received), remote_addr=(server, 53))
    try:
        transport.sendto(data)
        return await answer
    finally:
        transport.close()


def _failure(data: bytes) -> bytes:
    import dns.message
    import dns.rcode

    response = dns.message.make_response(dns.message.from_wire(data))
    response.set_rcode(dns.rcode.SERVFAIL)
    return response.to_wire()


def _to_wire(response: dns.message.Message, query: dns.message.Message, size_max: int) -> bytes:
    """Within what the client takes; truncated, so that it asks again over TCP, where it is more."""
    import dns.exception
    import dns.flags
    import dns.message

    limit = size_max if query.edns >= 0 or size_max > UDP_SIZE_MAX else 512
    try:
        return response.to_wire(max_size=limit)
    except dns.exception.TooBig:
        response = dns.message.make_response(query)
        response.flags |= dns.flags.AA | dns.flags.TC
        return response.to_wire()


def fill(response: dns.message.Message, answer: Answer, zone: Zone, alias: str = "") -> None:
    """Puts what is known of the name (or of its alias) into the response: the records of the type that was asked for."""
    import dns.name
    import dns.rcode
    import dns.rdatatype
    import dns.rrset

    question = response.question[0]
    name, kind = question.name, dns.rdatatype.to_text(question.rdtype)
    if alias:
        name = dns.name.from_text(alias)
    if not answer.exists:
        response.set_rcode(dns.rcode.NXDOMAIN)
    records: dict[str, list[str]] = {
        "A": answer.addresses,
        "SRV": [
            f"0 {100 // max(1, len(answer.services))} {srv.port} {srv.target}." for srv in answer.services
        ],
        "PTR": [f"{target}." for target in answer.names],
        "TXT": answer.text,
    }
    if answer.alias:
        response.answer.append(
            dns.rrset.from_text(name, TTL_S, "IN", "CNAME", answer.alias.rstrip(".") + ".")
        )
    elif records.get(kind):
        response.answer.append(dns.rrset.from_text(name, TTL_S, "IN", kind, *records[kind]))
        if kind == "SRV":
            response.additional += [
                dns.rrset.from_text(target + ".", TTL_S, "IN", "A", address)
                for target, address in answer.extra.items()
            ]
    if not response.answer:
        domain = zone.domain
        soa = f"ns.dns.{domain}. hostmaster.{domain}. 1 7200 1800 86400 {TTL_S}"
        response.authority.append(dns.rrset.from_text(domain + ".", TTL_S, "IN", "SOA", soa))


def upstream_of(resolv_conf: str) -> list[str]:
    """The nameservers of a resolv.conf; a local stub (127.0.0.53) is fine, the server runs on the host."""
    servers = []
    for line in resolv_conf.splitlines():
        words = line.split()
        if len(words) >= 2 and words[0] == "nameserver" and ":" not in words[1]:
            servers.append(words[1])
    return servers[:3]
