"""The helper's front: takes questions over HTTP, within limits, and answers as OONI's do."""

from __future__ import annotations

import asyncio
from hashlib import sha256

import msgspec
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from probes.helper_limits import Answers, Buckets, Refused, client_key
from probes.helper_look import Lookout
from probes.helper_protocol import GREETING, Question
from probes.redirects import next_url

_PROBES = "ooniprobe-"  # who is still served when much is under way
_BAD, _TOO_LARGE, _TOO_SLOW, _TOO_OFTEN, _OVERLOADED = 400, 413, 408, 429, 503
_MOST_HEADERS = 20


class HelperServer:
    """One helper within its `limits`; `application` is what an ASGI server runs."""

    def __init__(self, lookout: Lookout) -> None:
        self._lookout = lookout
        self.limits = lookout.limits
        self._askers = Buckets(lookout.clock, self.limits.per_minute)
        self._hosts = Buckets(lookout.clock, self.limits.host_per_minute)
        self._answers = Answers(lookout.clock, self.limits)
        self._decoder = msgspec.json.Decoder(Question)
        methods = ["GET", "POST", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"]
        self.application = Starlette(routes=[Route("/", self._respond, methods=methods)])

    async def _respond(self, request: Request) -> Response:
        try:
            return self._json(await self._answered(request))
        except Refused as refusal:
            retry = {"Retry-After": "60"} if refusal.status in (_TOO_OFTEN, _OVERLOADED) else {}
            return Response(status_code=refusal.status, headers={**self._server(), **retry})

    async def _answered(self, request: Request) -> bytes:
        if request.scope.get("server"):
            self._learn_own(str(request.scope["server"][0]))
        if request.client is not None and not self._askers.take(client_key(request.client.host)):
            raise Refused(_TOO_OFTEN)
        if request.method == "GET":
            return msgspec.json.encode(GREETING)
        if request.method != "POST":
            raise Refused(_BAD)
        question = self._question(await self._body(request))
        agent = request.headers.get("user-agent", "")
        return await self._look(question, probe=agent.startswith(_PROBES))

    def _learn_own(self, address: str) -> None:
        try:
            self._lookout.destinations.learn(address)
        except ValueError:
            return  # a socket of the file system has no address

    async def _body(self, request: Request) -> bytes:
        """Return the body. Raises Refused where it is too large or comes too slowly."""
        body = bytearray()
        try:
            async with asyncio.timeout(self.limits.request_seconds):
                async for part in request.stream():
                    body += part
                    if len(body) > self.limits.request_bytes:
                        raise Refused(_TOO_LARGE)
        except TimeoutError:
            raise Refused(_TOO_SLOW) from None
        except ClientDisconnect:
            raise Refused(_BAD) from None
        return bytes(body)

    def _question(self, body: bytes) -> Question:
        """Return the question, its URL in normal form. Raises Refused where it is none."""
        try:
            question = self._decoder.decode(body)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            raise Refused(_BAD) from None
        url = next_url(question.http_request, question.http_request)
        if url is None or len(question.http_request_headers or {}) > _MOST_HEADERS:
            raise Refused(_BAD)
        return msgspec.structs.replace(question, http_request=url)

    async def _look(self, question: Question, *, probe: bool) -> bytes:
        url, headers = question.http_request, question.http_request_headers or {}
        asked = sorted(set(question.tcp_connect or []))
        key = sha256(msgspec.json.encode([url, sorted(headers.items()), asked])).digest()

        def admit(under_way: int) -> None:
            most = self.limits.most_under_way if probe else self.limits.anyone_below
            if under_way >= most:
                raise Refused(_OVERLOADED)
            if not self._hosts.take(url.split("/")[2]):
                raise Refused(_TOO_OFTEN)

        async def make() -> bytes:
            return msgspec.json.encode(await self._lookout.look(url, headers, asked))

        return await self._answers.get(key, make, admit)

    def _json(self, body: bytes) -> Response:
        return Response(body, media_type="application/json", headers=self._server())

    def _server(self) -> dict[str, str]:
        return {"Server": self._lookout.tool.replace(" ", "-helper/")}
