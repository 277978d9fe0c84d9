"""What several commands have in common: opening a catalogue, finding fits, strict JSON."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from classy_pm.errors import CatalogError

if TYPE_CHECKING:
    from classy_pm.catalog import Catalog, StoredFit

#: As many digits of an identity as a person looks at.
SHORT = 12


def add_catalog(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that name the catalogue."""
    parser.add_argument("catalog", metavar="CATALOG", help="a sqlite file, or a postgresql:// address")
    parser.add_argument("--files", metavar="FOLDER", help="the folder of files that belongs to an address")


def add_untrusted(parser: argparse.ArgumentParser) -> None:
    """Add the option for catalogues from strangers."""
    parser.add_argument(
        "--untrusted", action="store_true", help="have each file read by a process that may do nothing else"
    )


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add the option to print JSON."""
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")


def open_catalog(given: argparse.Namespace, **settings: bool) -> Catalog:
    """Return the catalogue that is named; `settings` are those of `Catalog`."""
    from classy_pm.catalog import Catalog

    return Catalog(given.catalog, files=given.files, **settings)


def open_to_read(given: argparse.Namespace) -> Catalog:
    """Return a catalogue that must exist, and that nothing is written into."""
    untrusted = getattr(given, "untrusted", False)
    return _existing(open_catalog(given, create=False, read_only=True, untrusted=untrusted))


def open_to_write(given: argparse.Namespace) -> Catalog:
    """Return a catalogue that must exist."""
    return _existing(open_catalog(given, create=False))


def open_to_rebuild(given: argparse.Namespace) -> Catalog:
    """Return a catalogue whose index may be lost, if its files are there."""
    catalog = open_catalog(given)
    return catalog if catalog.layout.all_files() else open_to_write(given)


def _existing(catalog: Catalog) -> Catalog:
    try:
        catalog.is_there()
    except CatalogError as error:
        if catalog.database.exists():
            raise
        # The error's own cure is one for Python.
        raise CatalogError(error.message, error.faults, cure="Check the path.") from error
    return catalog


def find_fit(catalog: Catalog, identity: str) -> StoredFit:
    """Return the fit whose identity begins so."""
    return catalog.get(identity.strip().lower())


def find_fits(catalog: Catalog, identities: Iterable[str]) -> list[StoredFit]:
    """Return the fits whose identities begin so, each once."""
    found = [find_fit(catalog, identity) for identity in identities]
    return list({stored.fit_key: stored for stored in found}.values())


def print_json(value: Any) -> None:
    """Print plain data as strict ASCII JSON; numbers that are not finite are null."""
    from classy_pm.catalog.display import finite

    print(json.dumps(finite(value), allow_nan=False, indent=2))
