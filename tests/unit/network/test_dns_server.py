"""DNS messages: what a resolver in a pod gets back."""

import asyncio

import dns.flags
import dns.message
import dns.rcode
import pytest

from pilothouse.base.random import Random
from pilothouse.network.dns import Answer
from pilothouse.network.dns_server import DnsServer


class Zone:
    domain = "cluster.local"

    def __init__(self, **answers):
        self.answers = {f"{name}.cluster.local": answer for name, answer in answers.items()}

    def owns(self, name):
        return name.endswith("cluster.local")

    def answer(self, name):
        return self.answers.get(name, Answer())


def server(upstream=(), **answers):
    return DnsServer(Zone(**answers), list(upstream), Random(1))


def ask(server_, name, kind="A", size_max=1232, **options):
    wire = dns.message.make_query(name, kind, **options).to_wire()
    reply = server_.reply_locally(wire, size_max)
    return None if reply is None else dns.message.from_wire(reply)


def test_a_name_of_ours_is_answered_with_authority():
    reply = ask(server(web=Answer(True, ["10.96.0.7"])), "web.cluster.local")
    assert reply.answer[0].to_text() == "web.cluster.local. 5 IN A 10.96.0.7"
    assert reply.flags & dns.flags.AA


def test_no_record_of_the_type_is_no_error_and_no_name_is_one():
    of_ours = server(web=Answer(True, ["10.96.0.7"]))
    assert ask(of_ours, "web.cluster.local", "AAAA").rcode() == dns.rcode.NOERROR
    missing = ask(of_ours, "nothing.cluster.local")
    assert missing.rcode() == dns.rcode.NXDOMAIN
    assert missing.authority[0].to_text().startswith("cluster.local. 5 IN SOA")


def test_an_alias_comes_with_what_it_stands_for():
    reply = ask(
        server(out=Answer(True, alias="web.cluster.local"), web=Answer(True, ["10.96.0.7"])),
        "out.cluster.local",
    )
    assert [str(rrset.name) for rrset in reply.answer] == ["out.cluster.local.", "web.cluster.local."]
    assert reply.answer[0][0].to_text() == "web.cluster.local."


def test_an_answer_that_is_too_long_is_truncated_over_udp_and_whole_over_tcp():
    many = server(many=Answer(True, [f"10.0.{i}.1" for i in range(100)]))
    assert ask(many, "many.cluster.local").flags & dns.flags.TC
    assert len(ask(many, "many.cluster.local", size_max=65535).answer[0]) == 100


def test_other_names_go_upstream_or_are_refused():
    assert ask(server(["192.0.2.1"]), "example.com") is None
    assert ask(server(), "example.com").rcode() == dns.rcode.REFUSED


@pytest.mark.parametrize("data", [b"", b"\0", b"\xff" * 40])
def test_what_is_no_query_gets_no_answer(data):
    assert server().reply_locally(data, 1232) == b""


async def test_udp_and_tcp_on_one_port_and_an_alias_to_the_world(monkeypatch):
    of_ours = server(["192.0.2.1"], web=Answer(True, ["10.96.0.7"]), out=Answer(True, alias="example.com"))

    async def forward(data):
        query = dns.message.from_wire(data)
        reply = dns.message.make_response(query)
        reply.answer.append(dns.rrset.from_text(query.question[0].name, 60, "IN", "A", "203.0.113.1"))
        return reply.to_wire()

    monkeypatch.setattr(of_ours, "_forward", forward)
    port = await of_ours.start("127.0.0.1", 0)
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for name, address in (("web.cluster.local", "10.96.0.7"), ("out.cluster.local", "203.0.113.1")):
            wire = dns.message.make_query(name, "A").to_wire()
            writer.write(len(wire).to_bytes(2) + wire)
            reply = dns.message.from_wire(
                await reader.readexactly(int.from_bytes(await reader.readexactly(2)))
            )
            assert reply.answer[-1][0].to_text() == address
        writer.close()
        answered = asyncio.get_running_loop().create_future()

        class Client(asyncio.DatagramProtocol):
            def datagram_received(self, data, addr):
                answered.set_result(data)

        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            Client, remote_addr=("127.0.0.1", port)
        )
        transport.sendto(dns.message.make_query("out.cluster.local", "A").to_wire())
        assert dns.message.from_wire(await answered).answer[-1][0].to_text() == "203.0.113.1"
        transport.close()
    finally:
        await of_ours.close()
