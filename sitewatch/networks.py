"""This installation's table of networks by number, and the pseudonym that follows from it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from sitewatch.config import Config
from sitewatch.console import told_in_one_line
from storage.networks import Network, NetworksError, NetworksTable
from storage.records import Vantage
from storage.store import Store

FILE_NAME = "networks.table"

# From the network that the line's public address belongs to, None where nobody knows it.
Identify: TypeAlias = Callable[[Network | None], Vantage]


def table_path(config: Config) -> Path:
    """Return where the table is: where the configuration says, else beside the database."""
    if config.data.networks:
        return config.folder / Path(config.data.networks).expanduser()
    return config.folder / FILE_NAME


def open_table(config: Config) -> NetworksTable | None:
    """Return the table, None where there is none; one that cannot be read is a one-line error."""
    path = table_path(config)
    if not path.is_file():
        return None
    with told_in_one_line(NetworksError):
        return NetworksTable(path)


def identifier(config: Config, store: Store, table: NetworksTable | None) -> Identify:
    """Return the function that finds this installation's pseudonym for a network.

    What the configuration says of the vantage stays; what it leaves out comes from the table.
    """
    told = config.vantage

    def identify(network: Network | None) -> Vantage:
        if network is None or (told.asn is not None and told.asn != network.asn):
            return store.own_vantage(
                kind=told.kind, country=told.country, asn=told.asn, network=told.network
            )
        return store.own_vantage(
            kind=told.kind,
            country=told.country or network.country,
            asn=network.asn,
            network=told.network or network.name,
            networks_table=table.date if table else None,
        )

    return identify
