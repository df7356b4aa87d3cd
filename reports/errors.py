"""The error of this package: one line that says what is wrong with what was handed in."""


class ReportError(Exception):
    """A report or an analysis cannot be made; the message names the file, line and column."""
