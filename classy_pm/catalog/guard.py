"""What a NetCDF file that somebody else has written may contain, looked at before it is opened.

HDF5 can point out of itself: to other files (external storage, external links, virtual datasets),
to itself (soft links), and to types and filters by name. None of that is ever in a file of ours,
and with it a file could hand the reader's own secrets back to it, or use up the memory. So a file
with any of it is refused, by looking at its structure alone, without reading any data.
"""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path
from typing import Any

from classy_pm.catalog.faults import DamagedFile, UntrustedFile
from classy_pm.catalog.records import MOST_MANIFEST

#: The HDF5 library is not made for several threads: everything that opens a file holds this.
hdf5_lock = threading.RLock()
#: Far above what a fit has, far below what hurts.
MOST_OBJECTS = 20_000
MOST_ATTRIBUTES = 2_000
LARGEST_ATTRIBUTE = 16 * 1024 * 1024
#: The attribute that may be larger: its size is looked at again when it is read.
MANIFEST = "classy_manifest"
LARGEST_CONTENT = 64 * 1024**3
#: What zlib can make of one byte, and a little.
MOST_INFLATION = 2_000
#: deflate, shuffle, fletcher32: the filters that are in every HDF5 library, and no plug-ins.
FILTERS = {1, 2, 3}
HEAD = b"\x89HDF\r\n\x1a\n"
#: How the NetCDF library itself notes which dimensions a variable has, as references to others in
#: the same file: variable-length (9) and compound (6) types.
NETCDF_ATTRIBUTES = {b"DIMENSION_LIST": 9, b"REFERENCE_LIST": 6}


def check(path: Path, *, inside: Path | None = None) -> None:
    """Raise if a file is not a plain NetCDF file whose contents are all in it.

    Parameters
    ----------
    path : Path
        The file.
    inside : Path, optional
        A folder that it must lie in, links resolved.

    Raises
    ------
    UntrustedFile
        If it is a link, or contains something that a catalogue never writes.
    DamagedFile
        If it is not HDF5 at all.
    """
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode):
        raise UntrustedFile(f"{str(path)!r} is not a regular file.")
    if inside is not None and inside.resolve() not in path.resolve().parents:
        raise UntrustedFile(f"{str(path)!r} lies outside of {str(inside)!r}.")
    with path.open("rb") as stream:
        if stream.read(8) != HEAD:
            raise DamagedFile(f"{str(path)!r} is not a NetCDF file.")
    import h5py

    with hdf5_lock:
        try:
            file = h5py.h5f.open(os.fsencode(path), h5py.h5f.ACC_RDONLY)
        except Exception as error:
            raise DamagedFile(f"{str(path)!r} cannot be read: {error}.") from error
        try:
            _Inspection(path, status.st_size).group(h5py.h5g.open(file, b"/"), "/")
        except UntrustedFile:
            raise
        except Exception as error:
            raise DamagedFile(f"{str(path)!r} cannot be read: {error}.") from error
        finally:
            file.close()


class _Inspection:
    """One walk over the objects of a file, counting."""

    def __init__(self, path: Path, size: int) -> None:
        self.path = path
        self.size = size
        self.objects = 0
        self.content = 0
        self.seen: set[Any] = set()

    def refuse(self, name: str, what: str) -> UntrustedFile:
        return UntrustedFile(
            f"{str(self.path)!r} is refused: {name!r} {what}.",
            cure="No catalogue writes such a file. Do not open it unless you know who made it.",
        )

    def group(self, group: Any, name: str) -> None:
        import h5py

        self._attributes(group, name)
        for raw in group:
            label = f"{name.rstrip('/')}/{raw.decode('utf-8', 'replace')}"
            if "\0" in label or raw in (b".", b"..") or len(raw) > 1000:
                raise self.refuse(label, "has a name that is none")
            if group.links.get_info(raw).type != h5py.h5l.TYPE_HARD:
                raise self.refuse(label, "is a soft or external link")
            self.objects += 1
            if self.objects > MOST_OBJECTS:
                raise self.refuse(name, f"is one of more than {MOST_OBJECTS} objects")
            item = h5py.h5o.open(group, raw)
            identity = h5py.h5o.get_info(item)
            address = (identity.fileno, identity.addr)
            if address in self.seen:
                raise self.refuse(label, "has two names")
            self.seen.add(address)
            if isinstance(item, h5py.h5g.GroupID):
                self.group(item, label)
            elif isinstance(item, h5py.h5d.DatasetID):
                self._dataset(item, label)
            else:
                raise self.refuse(label, "is a committed type")

    def _dataset(self, dataset: Any, name: str) -> None:
        import h5py

        plan = dataset.get_create_plist()
        if plan.get_external_count():
            raise self.refuse(name, "keeps its numbers in another file")
        if plan.get_layout() not in (h5py.h5d.COMPACT, h5py.h5d.CONTIGUOUS, h5py.h5d.CHUNKED):
            raise self.refuse(name, "is virtual: its numbers are in another dataset")
        for place in range(plan.get_nfilters()):
            if plan.get_filter(place)[0] not in FILTERS:
                raise self.refuse(name, f"needs the plug-in filter {plan.get_filter(place)[0]}")
        self._type(dataset.get_type(), name)
        space = dataset.get_space()
        count = 1
        for length in space.get_simple_extent_dims() if space.get_simple_extent_ndims() else ():
            count *= int(length)
        self.content += count * dataset.get_type().get_size()
        if self.content > min(LARGEST_CONTENT, MOST_INFLATION * self.size + 2**20):
            raise self.refuse(name, f"declares {self.content} bytes in a file of {self.size}")
        self._attributes(dataset, name)

    def _type(self, kind: Any, name: str) -> None:
        import h5py

        if kind.committed():
            raise self.refuse(name, "has a committed type")
        plain = (h5py.h5t.INTEGER, h5py.h5t.FLOAT, h5py.h5t.STRING)
        if kind.get_class() in plain:
            return
        raise self.refuse(name, "is neither of numbers nor of texts")

    def _attributes(self, owner: Any, name: str) -> None:
        import h5py

        number = h5py.h5a.get_num_attrs(owner)
        if number > MOST_ATTRIBUTES:
            raise self.refuse(name, f"has {number} attributes")
        for place in range(number):
            attribute = h5py.h5a.open(owner, index=place)
            label = f"{name}@{attribute.name.decode('utf-8', 'replace')}"
            is_manifest = name == "/" and attribute.name == MANIFEST.encode()
            if attribute.get_storage_size() > (MOST_MANIFEST if is_manifest else LARGEST_ATTRIBUTE):
                raise self.refuse(label, f"has {attribute.get_storage_size()} bytes")
            kind = attribute.get_type()
            if NETCDF_ATTRIBUTES.get(attribute.name) != kind.get_class():
                self._type(kind, label)
