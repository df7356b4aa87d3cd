"""The helper command as a process: wrong options, a port in use, and one asker's connections."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

HELPER = (sys.executable, "-m", "sitewatch", "helper")


def test_wrong_options_and_a_port_in_use_are_one_line(tmp_path: Path) -> None:
    nonsense = tmp_path / "nonsense.pem"
    nonsense.write_text("no certificate")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for code, options in (
            (1, ["--port", port]),
            (1, ["--certificate", str(nonsense), "--key", str(nonsense)]),
            (2, ["--address", "nonsense"]),
            (2, ["--certificate", str(nonsense)]),
        ):
            done = subprocess.run([*HELPER, *options], capture_output=True, text=True, check=False)
            assert done.returncode == code, done.stderr
            assert "Traceback" not in done.stderr
            assert code == 2 or done.stderr.count("\n") == 1


def test_one_asker_has_few_connections_and_ctrl_c_ends_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    with (
        subprocess.Popen(
            [*HELPER, "--port", str(port)], stderr=subprocess.PIPE, text=True
        ) as process,
        ExitStack() as stack,
    ):
        assert process.stderr is not None
        assert "listens" in process.stderr.readline()
        held = [
            stack.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(65)
        ]
        held[-1].settimeout(10)
        with pytest.raises(ConnectionError):  # aborted, and not merely left waiting
            _read(held[-1])
        held[0].settimeout(10)
        held[0].sendall(b"GET / HTTP/1.1\r\nHost: helper\r\nConnection: close\r\n\r\n")
        assert held[0].recv(12) == b"HTTP/1.1 200"
        process.send_signal(signal.SIGINT)
        assert process.wait(20) in (0, 130)
        assert "127.0.0.1" not in process.stderr.read()


def _read(sock: socket.socket) -> None:
    if not sock.recv(1):
        raise ConnectionError("closed")
