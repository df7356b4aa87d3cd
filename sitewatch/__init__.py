"""The front door: commands, configuration and consent."""

__version__ = "0.1.0"
