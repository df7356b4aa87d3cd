"""Run one program inside the namespaces of a lab client; a program itself, stdlib only.

Usage: enter.py USER PROCESSES NETWORK MOUNTS COMMAND [ARGUMENT...], the first four being
descriptors of namespaces. It stays outside as the program's parent, because only a child can enter
a process namespace: signals are handed on, the exit status is handed back, and whichever side is
killed takes the other with it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from lab.namespaces import die_with_parent, enter

_HANDED_ON = {
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
}
_SENT_BY_KERNEL = 0x80  # from a terminal, to the whole group: the program has it already


def main() -> None:
    """Enter the namespaces, start the program, wait for it, end as it ended."""
    namespaces, command = [int(text) for text in sys.argv[1:5]], sys.argv[5:]
    folder = Path.cwd()
    for namespace in namespaces:
        enter(namespace)
        os.close(namespace)
    os.chdir(folder)
    signal.pthread_sigmask(signal.SIG_BLOCK, {*_HANDED_ON, signal.SIGCHLD})
    try:
        child = os.fork()
    except OSError:  # there is no process 1 any more under which a child could live
        sys.exit("the world has ended")
    if child == 0:
        _become(command)
    with open(os.devnull, "r+b") as nothing:  # pipes must end when the program closes them
        for standard in (0, 1):
            os.dup2(nothing.fileno(), standard)
    _end_as(_wait_for(child))


def _become(command: list[str]) -> None:
    """Replace this process by the program."""
    die_with_parent()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {*_HANDED_ON, signal.SIGCHLD})
    try:
        os.execvp(command[0], command)
    except OSError as error:
        os.write(2, f"{command[0]}: {error.strerror}\n".encode())
        os._exit(127)


def _wait_for(child: int) -> int:
    """Hand signals on until the program ends; return its wait status."""
    while True:
        arrived = signal.sigwaitinfo({*_HANDED_ON, signal.SIGCHLD})
        if arrived.si_signo == signal.SIGCHLD:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                return status
        elif arrived.si_code != _SENT_BY_KERNEL:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, arrived.si_signo)


def _end_as(status: int) -> None:
    """Leave with the program's exit code, or by the signal that ended it."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        with contextlib.suppress(OSError):  # SIGKILL and SIGSTOP keep their action anyway
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
        os.kill(os.getpid(), number)
    os._exit(os.waitstatus_to_exitcode(status) & 0xFF)


if __name__ == "__main__":
    main()
