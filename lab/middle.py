"""The servers in boxes on the way: they take connections to any address, in its name."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from lab.censor import forged_reply
from lab.clock import ScenarioClock
from lab.described import Captive
from lab.dns_server import Answer, Reply
from lab.http_server import converse_over, server_context
from lab.messages import Request, Respond, Response
from lab.plan import Middle, Plan
from lab.scenario import Censor
from lab.tls_front import Accept, Converse, Hello, Rudeness, listen, serve_chosen

ANYWHERE = "0.0.0.0"
_TRANSPARENT, _PACKET_INFO = 19, 8  # IP_TRANSPARENT, IP_PKTINFO
_LARGEST_QUERY = 4096


async def serve_middle(
    plan: Plan,
    middle: Middle,
    certificates: dict[str, Path],
    forger_folder: Path,
    clock: ScenarioClock,
    ready: Callable[[], None],
) -> None:
    """Serve one box for ever."""
    if middle.purpose == "antivirus":
        from lab.forging import Forger  # heavy, with its library of certificates
        from lab.interceptor import intercept

        issuer = plan.scenario.networks[middle.number].antivirus
        forger = Forger(issuer, forger_folder, now=datetime.fromtimestamp(clock.now(), UTC))
        tasks = [
            serve_chosen(listen(ANYWHERE, 443, transparent=True), intercept(forger, middle.address))
        ]
    else:
        captive = plan.scenario.captives[middle.number]
        tasks = _serve_captive(plan, captive, certificates[captive.portal])
    ready()
    await asyncio.gather(*tasks)


def _serve_captive(plan: Plan, captive: Captive, certificate: Path) -> list[asyncio.Task[None]]:
    """Begin to send everybody to the portal."""
    converse = converse_over(_to_portal(captive), secure=False)
    context = server_context(certificate)

    async def choose(_hello: Hello) -> Accept | Rudeness:
        return Accept(context, converse_over(_to_portal(captive), secure=True))

    def answer(query: bytes, _asker: str) -> Reply | None:
        lie = Censor(kind="resolver-lie", names=(), answers=(captive.portal,))
        forged = forged_reply(query, lie, plan)
        return Reply(forged) if forged is not None else None

    return [
        asyncio.create_task(_serve_plain(listen(ANYWHERE, 80, transparent=True), converse)),
        serve_chosen(listen(ANYWHERE, 443, transparent=True), choose),
        asyncio.create_task(serve_datagrams_to_any(answer)),
    ]


def _to_portal(captive: Captive) -> Respond:
    async def respond(_request: Request) -> Response:
        return Response(302, b"", {"Location": f"http://{captive.portal}/"})

    return respond


async def _serve_plain(listener: socket.socket, converse: Converse) -> None:
    async with await asyncio.start_server(converse, sock=listener) as server:
        await server.serve_forever()


async def serve_datagrams_to_any(answer: Answer) -> None:
    """Answer DNS questions to any address for ever, each from the address it was sent to."""
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as udp:
        udp.setsockopt(socket.IPPROTO_IP, _TRANSPARENT, 1)
        udp.setsockopt(socket.IPPROTO_IP, _PACKET_INFO, 1)
        udp.bind((ANYWHERE, 53))
        arrived: asyncio.Queue[None] = asyncio.Queue()
        loop.add_reader(udp, arrived.put_nowait, None)
        while True:
            await arrived.get()
            try:
                query, control, _, asker = udp.recvmsg(_LARGEST_QUERY, 128)
            except BlockingIOError:
                continue
            reply = answer(query, asker[0])
            if reply is not None:
                asked = control[0][2][8:12]  # ipi_addr of a struct in_pktinfo
                source = struct.pack("=I4s4s", 0, asked, bytes(4))
                udp.sendmsg([reply.wire], [(socket.IPPROTO_IP, _PACKET_INFO, source)], 0, asker)
