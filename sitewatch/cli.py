"""The command line: imports each command's module only when it is called, to start quickly."""

from __future__ import annotations

import importlib
import sys

import click

from sitewatch import __version__

# Command name -> module in sitewatch.commands; each has a click command of the name `command`.
_COMMANDS = {
    "init": "init",
    "measure": "measure",
    "daemon": "daemon",
    "service": "service",
    "status": "status",
    "report": "report",
    "episodes": "episodes",
    "export": "export",
    "import": "importing",
    "verify": "verify",
    "judge": "judge",
    "explain": "explain",
    "doctor": "doctor",
    "pause": "pause",
    "resume": "resume",
    "wipe": "wipe",
    "locate": "locate",
    "annotate": "annotate",
    "helper": "helper",
    "data": "data",
    "targets": "targets",
    "demo": "demo",
}


class _Commands(click.Group):
    """A group whose commands are imported on first use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        module = _COMMANDS.get(cmd_name)
        if module is None:
            return None
        found = importlib.import_module(f"sitewatch.commands.{module}").command
        assert isinstance(found, click.Command)
        return found


@click.command(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Example: sitewatch measure https://foreignpolicy.com/",
)
@click.version_option(__version__, prog_name="sitewatch")
def group() -> None:
    """Watch whether sites are blocked, and show since when, where, how, and the evidence."""


def main() -> None:
    """Run the command line; a Ctrl-C ends with exit code 130, everything measured kept."""
    try:
        code = group.main(standalone_mode=False, prog_name="sitewatch")
    except click.exceptions.Abort:
        click.echo("Stopped.", err=True)
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        click.echo("Stopped.", err=True)
        sys.exit(130)
    except BrokenPipeError:  # the reader of our output has seen enough
        sys.stderr.close()
        sys.exit(1)
    sys.exit(code if isinstance(code, int) else 0)
