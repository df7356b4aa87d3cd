"""Namespaces without root: making them, entering them, and mounts within; stdlib only."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

NEW_NAMESPACES = 0x00020000  # mount
NEW_USER = 0x10000000
NEW_PROCESSES = 0x20000000
NEW_NETWORK = 0x40000000

_BIND, _RECURSIVE, _SLAVE = 0x1000, 0x4000, 0x80000
_DIE_WITH_PARENT = 1

_c = ctypes.CDLL(None, use_errno=True)


class Missing(Exception):
    """The machine does not allow a lab; the message is one line saying what is missing."""


def _call(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def unshare(kinds: int) -> None:
    """Put this process (for processes: its next child) into new namespaces. Raises OSError."""
    _call(_c.unshare(kinds))


def enter(namespace: int, kind: int = 0) -> None:
    """Enter the namespace behind a file descriptor. Raises OSError."""
    _call(_c.setns(namespace, kind))


def mount(source: str, target: str, kind: str | None, flags: int) -> None:
    """Mount; see mount(2). Raises OSError."""
    kind_bytes = kind.encode() if kind else None
    _call(_c.mount(source.encode(), target.encode(), kind_bytes, ctypes.c_ulong(flags), None))


def bind(source: Path, target: Path) -> None:
    """Lay one file over another in this mount namespace."""
    mount(str(source), str(target), None, _BIND)


def die_with_parent() -> None:
    """Have this process killed as soon as its parent is gone."""
    _call(_c.prctl(_DIE_WITH_PARENT, 9, 0, 0, 0))


def become_lab() -> None:
    """Enter new user, mount and process namespaces, as root in them. Raises Missing.

    The process namespace begins with the next child.
    """
    user, group = os.geteuid(), os.getegid()
    try:
        unshare(NEW_USER | NEW_NAMESPACES | NEW_PROCESSES)
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1")
        # Mounts made here stay here; those of the machine still appear.
        mount("none", "/", None, _RECURSIVE | _SLAVE)
    except OSError as error:
        raise Missing(f"user namespaces are not available ({_reason(error)})") from error


def _reason(error: OSError) -> str:
    """Name the switch that forbids user namespaces, where one is known."""
    for switch, forbidding in (
        ("user/max_user_namespaces", "0"),
        ("kernel/unprivileged_userns_clone", "0"),
        ("kernel/apparmor_restrict_unprivileged_userns", "1"),
    ):
        path = Path("/proc/sys") / switch
        if path.exists() and path.read_text().strip() == forbidding:
            return f"sysctl {switch.replace('/', '.')} = {forbidding}"
    return f"{error.strerror}; a container's rules may forbid them"
