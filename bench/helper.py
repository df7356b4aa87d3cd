"""How many questions a second a helper answers: the same ones again, and each a new one.

``python -m bench.helper`` places `sitewatch helper` at a host of a lab and asks it from inside. The
lab, its servers and the asking program run on the same machine and take their part of it.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx

from lab.network import World
from lab.scenario import load_scenario

_CACHED, _FRESH, _AT_ONCE, _SITES = 1000, 150, 16, 15
_HELPER = "http://helper.example/"
_SCENARIO = f"""
country = "KZ"
targets = [{", ".join(f'"https://site{n}.example/"' for n in range(_SITES))}]
networks = [{{name = "isp", asn = 64496}}]
[[helpers]]
url = "{_HELPER}"
ports = [80]
command = [
  "{sys.executable}", "-m", "sitewatch", "helper", "--address", "{{address}}", "--port", "80",
  "--ca-bundle", "{{ca}}", "--per-minute", "100000",
]
"""


def main() -> None:
    """Make the lab, ask from inside, which prints."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "helper.toml"
        path.write_text(_SCENARIO)
        with World(load_scenario(path), seed=1) as world:
            argv = [sys.executable, "-m", "bench.helper", "--inside"]
            with world.popen("isp", argv, stdout=subprocess.PIPE) as process:
                output, _ = process.communicate(timeout=120)
    print(output.decode(), end="")


async def _inside() -> None:
    fresh = [f"https://site{n % _SITES}.example/{n}" for n in range(_FRESH)]
    cached = ["https://site0.example/0"] * _CACHED
    async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
        for name, urls in (("fresh", fresh), ("cached", cached)):
            print(f"{name:<7} {await _rate(client, urls):.1f} answers a second")


async def _rate(client: httpx.AsyncClient, urls: list[str]) -> float:
    """Ask about each URL, so many at once; raises where an answer is none or no page was seen."""
    start, left = time.perf_counter(), iter(urls)

    async def ask() -> None:
        for url in left:
            reply = await client.post(_HELPER, json={"http_request": url})
            reply.raise_for_status()
            assert reply.json()["http_request"]["failure"] is None, reply.text

    await asyncio.gather(*(ask() for _ in range(_AT_ONCE)))
    return len(urls) / (time.perf_counter() - start)


if __name__ == "__main__":
    if "--inside" in sys.argv:
        asyncio.run(_inside())
    else:
        main()
