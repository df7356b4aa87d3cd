"""What a site answers to a visitor: pages, redirects, refusals, and bodies that misbehave."""

from __future__ import annotations

import asyncio
import html
import secrets
import zlib
from collections.abc import AsyncIterator, Callable
from functools import cache

from lab.described import Site
from lab.messages import BreakOff, Request, Response

_FILLER = "This sentence fills the page to the size that the scenario asks for. "
_HTML = "text/html"
_BOMB_BYTES = 100_000_000  # of one that says nothing else
_MEGABYTE = 1 << 20
_TICK = 0.1  # seconds between the pieces of a slow body
_STALL_BYTES = 2000  # that still come from a body that stalls
_FOR_EVER = 86400.0

_CAPTCHA = (
    "Enable JavaScript and cookies to continue. "
    "Verify you are human by completing the action below."
)
_PARKED = (
    "This domain is parked. Buy this domain. Related searches: news, insurance, cheap flights."
)


def site_response(site: Site, request: Request, country: str) -> Response:
    """Return what a site answers to a visitor from a country."""
    if country and country in site.refuse_countries:
        refusal = _refusal(site)
        if refusal is not None:
            return refusal
    if site.captcha:
        return _captcha()
    if site.redirect:
        return Response(site.redirect_status, b"", {"Location": site.redirect})
    if not request.secure and site.https and site.http == "redirect":
        return Response(301, b"", {"Location": f"https://{request.host}{request.target}"})
    return _page_response(site, request)


def _refusal(site: Site) -> Response | None:
    """Return how HTTP refuses a visitor; None where that happens elsewhere."""
    if site.refuse_how == "page":
        text = "This content is not available in your country."
        return _html(site.refuse_status, page("Not available", text))
    if site.refuse_how == "redirect":
        return Response(302, b"", {"Location": site.refuse_location})
    return _captcha() if site.refuse_how == "captcha" else None


def _captcha() -> Response:
    headers = {"Cf-Mitigated": "challenge", "Content-Type": f"{_HTML}; charset=utf-8"}
    return Response(403, page("Just a moment...", _CAPTCHA), headers)


def _page_response(site: Site, request: Request) -> Response:
    title, text = _words(site)
    if site.echo:
        text += f" Your address is {request.visitor}."
    if site.changing:
        title += f" {secrets.token_hex(4)}"
        text += " " + " ".join(secrets.token_hex(8) for _ in range(secrets.randbelow(200)))
    body = page(
        "" if site.no_title else title,
        text,
        site.size,
        language=site.language,
        charset=site.charset,
    )
    answer = _html(site.status, body, site.charset)
    headers = {**answer.headers, **site.headers}
    if site.language:
        headers["Content-Language"] = site.language
    if site.http3 and request.secure:
        headers["Alt-Svc"] = 'h3=":443"; ma=3600'
    return _BODIES[site.body](site, Response(answer.status, body, headers))


def _words(site: Site) -> tuple[str, str]:
    if site.parked:
        return site.title or f"{site.host} is for sale", site.text or _PARKED
    return (
        site.title or f"Welcome to {site.host}",
        site.text or f"You are reading {site.host}.",
    )


def _html(status: int, body: bytes, charset: str = "utf-8") -> Response:
    return Response(status, body, {"Content-Type": f"{_HTML}; charset={charset}"})


def page(
    title: str, text: str, size: int = 0, *, language: str = "", charset: str = "utf-8"
) -> bytes:
    """Return an HTML page of at least `size` bytes; without a title where that is empty."""
    opening = f'<html lang="{html.escape(language)}">' if language else "<html>"
    named = f"<title>{html.escape(title)}</title>" if title else ""
    heading = f"<h1>{html.escape(title)}</h1>" if title else ""
    body = f"<!doctype html>{opening}<head>{named}</head><body>{heading}<p>{html.escape(text)}</p>"
    end = "</body></html>"
    missing = size - len((body + end).encode(charset, "xmlcharrefreplace")) - len("<p></p>")
    if missing > 0:
        body += f"<p>{(_FILLER * (missing // len(_FILLER) + 1))[:missing]}</p>"
    return (body + end).encode(charset, "xmlcharrefreplace")


# --- bodies that misbehave --------------------------------------------------------------------


def _whole(_site: Site, response: Response) -> Response:
    return response


def _endless(_site: Site, response: Response) -> Response:
    """Never end; what is not read is not made."""

    async def stream() -> AsyncIterator[bytes]:
        yield response.body.removesuffix(b"</body></html>")
        while True:
            yield _FILLER.encode() * 200
            await asyncio.sleep(0)

    return Response(response.status, b"", response.headers, stream)


def _bomb(site: Site, response: Response) -> Response:
    """Grow a thousandfold when unpacked."""
    size = max(site.size, _BOMB_BYTES)
    headers = {**response.headers, "Content-Encoding": "gzip"}
    return Response(response.status, _zeros(size), headers)


@cache
def _zeros(size: int) -> bytes:
    """Return that many zero bytes, to the megabyte, as gzip has them."""
    packer, block = zlib.compressobj(9, wbits=31), bytes(_MEGABYTE)
    packed = b"".join(packer.compress(block) for _ in range(size // _MEGABYTE + 1))
    return packed + packer.flush()


def _slow(site: Site, response: Response) -> Response:
    """Come at `rate` bytes a second."""
    size = max(1, int(site.rate * _TICK))

    async def stream() -> AsyncIterator[bytes]:
        for at in range(0, len(response.body), size):
            yield response.body[at : at + size]
            await asyncio.sleep(_TICK)

    return _streamed(response, stream)


def _stall(_site: Site, response: Response) -> Response:
    """Begin, and then say nothing more."""

    async def stream() -> AsyncIterator[bytes]:
        yield response.body[:_STALL_BYTES]
        await asyncio.sleep(_FOR_EVER)

    return _streamed(response, stream)


def _cut(_site: Site, response: Response) -> Response:
    """Close in the middle, as if all were said."""
    return _streamed(response, _half(response.body, with_reset=False))


def _reset(_site: Site, response: Response) -> Response:
    """Break off in the middle with a reset."""
    return _streamed(response, _half(response.body, with_reset=True))


def _half(body: bytes, *, with_reset: bool) -> Callable[[], AsyncIterator[bytes]]:
    async def stream() -> AsyncIterator[bytes]:
        yield body[: len(body) // 2]
        await asyncio.sleep(_TICK)  # so that what was sent is not overtaken by the end
        raise BreakOff(with_reset)

    return stream


def _streamed(response: Response, stream: Callable[[], AsyncIterator[bytes]]) -> Response:
    return Response(response.status, b"", response.headers, stream, len(response.body))


_BODIES: dict[str, Callable[[Site, Response], Response]] = {
    "whole": _whole,
    "endless": _endless,
    "bomb": _bomb,
    "slow": _slow,
    "stall": _stall,
    "cut": _cut,
    "reset": _reset,
}
