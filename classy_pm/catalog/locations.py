"""From what a user calls a catalogue to its index and its folder of files."""

from __future__ import annotations

import os
import re
from pathlib import Path

from classy_pm.catalog.database import Database
from classy_pm.catalog.layout import Layout
from classy_pm.errors import CatalogError

SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")


def find(location: object, files: object = None, *, read_only: bool) -> tuple[Path | str, Database, Layout]:
    """Return where a catalogue is, in words without a password; its index; and its files.

    Parameters
    ----------
    location : str or path
        A sqlite file, or the address of a PostgreSQL database.
    files : str or path, optional
        The folder of files, which PostgreSQL needs and sqlite has beside it.
    read_only : bool
        Whether nothing at all may be written.
    """
    scheme = SCHEME.match(location) if isinstance(location, str) else None
    if scheme is not None:
        return _find_by_address(str(location), scheme[1], files, read_only)
    path = _as_path(location)
    if files is not None:
        raise CatalogError(
            f"The files of {str(path)!r} lie beside it; `files=` is for a PostgreSQL database.",
            cure="Leave out `files=`.",
        )
    if path.is_dir():
        raise CatalogError(
            f"{str(path)!r} is a folder; a catalogue is a sqlite file.",
            cure=f"Write {str(path / 'catalog.sqlite')!r}.",
        )
    from classy_pm.catalog.sqlite import SqliteDatabase

    return path, SqliteDatabase(path, read_only=read_only), Layout.of(path)


def _find_by_address(
    location: str, scheme: str, files: object, read_only: bool
) -> tuple[str, Database, Layout]:
    if scheme not in ("postgresql", "postgresql+psycopg"):
        raise CatalogError(
            f"A catalogue cannot be at an address that begins with {scheme + '://'!r}.",
            cure="Write the path of a sqlite file, or postgresql+psycopg://user@host/database.",
        )
    if not isinstance(files, str | os.PathLike) or not os.fspath(files):
        raise CatalogError(
            "A catalogue in PostgreSQL needs a folder for its files, which all its machines see.",
            cure="Write Catalog('postgresql+psycopg://...', files='somewhere/survey.files').",
        )
    from classy_pm.catalog.postgresql import PostgresDatabase, parse

    url = parse(location)
    database = PostgresDatabase(url, read_only=read_only)
    return database.name, database, Layout(_as_path(files))


def _as_path(location: object) -> Path:
    text = os.fspath(location) if isinstance(location, os.PathLike) else location
    if not isinstance(text, str) or "\0" in text:
        raise CatalogError(
            f"{location!r} is not the path of a catalogue.",
            cure="Write a str or a pathlib.Path that names a sqlite file: Catalog('survey.sqlite').",
        )
    return Path(text)
