"""The house rules that a machine can check: who imports whom, who waits, how long things are."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import socket
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.traffic import OutsideTraffic

ROOT = Path(__file__).parent.parent
PACKAGES = ("lab", "probes", "reports", "sitewatch", "storage")

# Which of our packages each package may import, besides itself.
MAY_IMPORT = {
    "lab": set(),
    "probes": {"storage"},
    "reports": {"storage"},
    "sitewatch": {"probes", "reports", "storage"},
    "storage": set(),
}
# `sitewatch demo` alone may import the lab: its command and the modules that play.
MAY_IMPORT_LAB = re.compile(r"sitewatch/(commands/demo|play\w*)\.py")

# Libraries that one package alone knows. The lab is the other side and has its own.
OWNERS = {
    "dns": {"probes", "lab"},
    "httpx": {"probes", "lab"},
    "httpcore": {"probes", "lab"},
    "h11": {"probes", "lab"},
    "ssl": {"probes", "lab"},
    "OpenSSL": {"probes", "lab"},
    "sqlalchemy": {"storage"},
    "alembic": {"storage"},
    "apscheduler": {"sitewatch"},
    "click": {"sitewatch"},
    "rich": {"sitewatch"},
}

# Only the clock asks what time it is, or waits. Deadlines (asyncio.timeout) are no waiting.
CLOCKLESS = ("probes", "reports", "storage")
CLOCK = "probes/clock.py"
OF_THE_CLOCK = {
    "asyncio.sleep",
    "time.sleep",
    "time.time",
    "time.time_ns",
    "time.monotonic",
    "time.monotonic_ns",
    "time.perf_counter",
    "time.perf_counter_ns",
    "datetime.now",
    "datetime.utcnow",
    "datetime.today",
    "date.today",
}

MODULES = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]


def shown(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def package_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0]


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"), str(path))


def imports(module: ast.Module) -> Iterator[str]:
    """Yield the full name of everything imported, also inside functions."""
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide who imports whom"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def top_level_imports(module: ast.Module) -> set[str]:
    return {name.partition(".")[0] for name in imports(module)}


def called(module: ast.Module) -> Iterator[str]:
    """Yield "module.name" of each call that is written that way, or was imported by name."""
    by_name = {name.rpartition(".")[2]: name for name in imports(module) if "." in name}
    for node in ast.walk(module):
        if isinstance(node, ast.Attribute):
            owner = node.value
            if isinstance(owner, ast.Name | ast.Attribute):
                yield f"{owner.id if isinstance(owner, ast.Name) else owner.attr}.{node.attr}"
        elif isinstance(node, ast.Name) and node.id in by_name:
            yield by_name[node.id]


def functions(module: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(module):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_there_is_something_to_check() -> None:
    assert {package_of(path) for path in MODULES} == set(PACKAGES)


def test_each_package_imports_only_what_it_may() -> None:
    wrong = []
    for path in MODULES:
        allowed = MAY_IMPORT[package_of(path)] | {package_of(path)}
        if MAY_IMPORT_LAB.fullmatch(shown(path)):
            allowed |= {"lab"}
        ours = top_level_imports(tree(path)) & {*PACKAGES, "tests"}
        wrong += [f"{shown(path)} imports {name}" for name in sorted(ours - allowed)]
    assert not wrong


def test_each_library_is_known_to_its_owner_alone() -> None:
    wrong = [
        f"{shown(path)} imports {name}"
        for path in MODULES
        for name in sorted(top_level_imports(tree(path)) & OWNERS.keys())
        if package_of(path) not in OWNERS[name]
    ]
    assert not wrong


def test_the_packages_have_no_import_cycles() -> None:
    names = {shown(path).removesuffix(".py").replace("/", "."): path for path in MODULES}
    edges = {
        name: {
            other
            for imported in imports(tree(path))
            for other in (imported, imported.rpartition(".")[0])
            if other in names and other != name
        }
        for name, path in names.items()
    }
    while free := [name for name, needed in edges.items() if not needed & edges.keys()]:
        for name in free:
            del edges[name]
    assert not edges, f"in a cycle, or depending on one: {sorted(edges)}"


def test_every_imported_library_is_a_declared_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = dict(project["optional-dependencies"])
    del extras["dev"]
    declared = {
        re.split(r"[ <>=!~\[;]", text)[0].lower().replace("_", "-")
        for texts in (project["dependencies"], *extras.values())
        for text in texts
    }
    providers = importlib.metadata.packages_distributions()
    foreign = {
        (shown(path), name)
        for path in MODULES
        for name in top_level_imports(tree(path))
        if name not in sys.stdlib_module_names and name not in PACKAGES
    }
    missing = sorted(
        f"{where} imports {name}"
        for where, name in foreign
        if not {provider.lower().replace("_", "-") for provider in providers.get(name, [name])}
        & declared
    )
    assert not missing


def test_only_the_clock_asks_for_the_time_or_waits() -> None:
    wrong = [
        f"{shown(path)} uses {name}"
        for path in MODULES
        if package_of(path) in CLOCKLESS and shown(path) != CLOCK
        for name in called(tree(path))
        if name in OF_THE_CLOCK or name.removeprefix("datetime.") in OF_THE_CLOCK
    ]
    assert not wrong


def test_every_module_says_its_one_job_in_its_first_line() -> None:
    wrong = []
    for path in MODULES:
        text = ast.get_docstring(tree(path)) or ""
        if not text.splitlines() or not text.splitlines()[0].endswith((".", ":")):
            wrong.append(shown(path))
    assert not wrong


def test_no_module_is_longer_than_400_lines() -> None:
    lengths = {shown(path): len(path.read_text("utf-8").splitlines()) for path in MODULES}
    assert not {name: length for name, length in lengths.items() if length > 400}


def test_no_function_is_longer_than_60_lines() -> None:
    wrong = [
        f"{shown(path)}: {function.name}"
        for path in MODULES
        for function in functions(tree(path))
        if (function.end_lineno or 0) - function.lineno + 1 > 60
    ]
    assert not wrong


def test_modules_are_named_for_what_they_hold() -> None:
    vague = {"utils", "util", "common", "manager", "misc", "base"}
    assert not [shown(path) for path in MODULES if path.stem in vague]


def test_tests_cannot_reach_beyond_loopback(outside_attempts: list[str]) -> None:
    with socket.socket() as sock, pytest.raises(OutsideTraffic):
        sock.connect(("192.0.2.1", 80))
    with socket.socket(type=socket.SOCK_DGRAM) as sock, pytest.raises(OutsideTraffic):
        sock.sendto(b"", ("192.0.2.1", 53))
    with pytest.raises(OutsideTraffic):
        socket.getaddrinfo("foreignpolicy.com", 443)
    assert len(outside_attempts) == 3
    outside_attempts.clear()
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname()).close()
