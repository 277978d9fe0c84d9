"""What a catalogue asks of its index, whichever engine keeps it."""

from __future__ import annotations

import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager

import sqlalchemy as sa

from classy_pm.catalog import tables
from classy_pm.catalog.faults import CatalogVersionError
from classy_pm.catalog.records import FitRecord, now
from classy_pm.errors import CatalogError

#: Begins a transaction that alone may write, and commits it.
Writing = Callable[[], AbstractContextManager[sa.Connection]]


class Database(ABC):
    """The index of a catalogue, which is made by the first write.

    Parameters
    ----------
    name : str
        How errors call it; it holds no password.
    read_only : bool
        Whether nothing at all may be written.
    """

    def __init__(self, name: str, *, read_only: bool) -> None:
        self.name = name
        self.read_only = read_only

    @abstractmethod
    def exists(self) -> bool:
        """Whether there is anything in its place yet."""

    @abstractmethod
    def reading(self) -> AbstractContextManager[sa.Connection]:
        """Give a connection in a transaction that sees one state of an existing index."""

    @abstractmethod
    def writing(self) -> AbstractContextManager[sa.Connection]:
        """Give a connection that alone may write; make the index if it is not there."""

    @abstractmethod
    def kept_open(self) -> AbstractContextManager[sa.Connection]:
        """Give a connection to an existing index, for many short transactions that only read."""

    @abstractmethod
    def check_writable(self) -> None:
        """Raise a CatalogError if the index could not be made or written; leave nothing behind."""

    @abstractmethod
    def check_sound(self) -> None:
        """Raise a CatalogError if the index is damaged, or is not ours."""

    @abstractmethod
    def replacing(self, set_aside: list[str]) -> AbstractContextManager[Writing]:
        """Give transactions on an empty index, which takes the place of this one at the end."""

    @abstractmethod
    def close(self) -> None:
        """Let go of all connections; they are made again when needed."""

    @abstractmethod
    def check_record(self, record: FitRecord) -> None:
        """Raise a CatalogError if this engine could not keep a record."""

    def check_version(self, version: int) -> None:
        """Refuse a schema that a later classy_pm has made."""
        if version > tables.SCHEMA_VERSION:
            raise CatalogVersionError(
                f"{self.name!r} has schema {version}; this classy_pm knows those up to "
                f"{tables.SCHEMA_VERSION}.",
                cure="Upgrade classy_pm to read it.",
            )

    def is_read_only(self) -> CatalogError:
        """Return the error for a write where there may be none."""
        return CatalogError(f"{self.name!r} was opened with `read_only=True`.")


def fill_meta(connection: sa.Connection, **values: str) -> None:
    """Note what a new index is, beside these values."""
    values |= {"root": uuid.uuid4().hex, "created": now()}
    rows = [{"key": key, "value": value} for key, value in values.items()]
    connection.execute(sa.insert(tables.meta), rows)
