"""Try once what a world needs; a program that prints one line saying what is missing, if any."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from lab.devices import open_device
from lab.namespaces import NEW_NAMESPACES, NEW_NETWORK, Missing, become_lab, bind, unshare


def try_everything() -> None:
    """Do what a world needs. Raises Missing; leaves this process in new namespaces."""
    become_lab()
    try:
        unshare(NEW_NAMESPACES | NEW_NETWORK)
    except OSError as error:
        raise Missing(f"network namespaces are not available ({error.strerror})") from error
    open_device("tun0", packet_sockets=False)
    try:
        bind(Path("/etc/hosts"), Path("/etc/resolv.conf"))
    except OSError as error:
        raise Missing(f"/etc/resolv.conf cannot be mounted over ({error.strerror})") from error


if __name__ == "__main__":
    try:
        try_everything()
    except Missing as missing:
        print(missing)
        sys.exit(1)
