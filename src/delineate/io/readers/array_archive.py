"""Arrays of npz and npy files: never pickles; declared sizes are held against limits before anything is unpacked."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from delineate.core.errors import InputError
from delineate.core.reading import reading
from delineate.core.terminal_text import excerpt
from delineate.io.limits import check_volume
from delineate.io.options import ReadOptions
from delineate.io.unpacking import DEFLATE_RATIO

MOST_MEMBERS: Final = 1000
Header = tuple[tuple[int, ...], "np.dtype[Any]"]


class ArrayArchive:
    """An open npz file; an array is checked and unpacked when it is asked for."""

    def __init__(self, archive: zipfile.ZipFile, path: Path, options: ReadOptions) -> None:
        self._archive, self._path, self._options = archive, path, options
        members = [member.filename for member in archive.infolist()]
        odd = [name for name in members if not name.endswith(".npy") or "/" in name or "\\" in name]
        if odd or len(members) > MOST_MEMBERS:
            raise InputError(
                "E-NPZ-MEMBERS",
                f"{path.name} is an archive, but not of arrays: it holds {excerpt((odd or ['…'])[0])}.",
                "Unpack it and open what is in it; npz files hold .npy arrays.",
            )
        self.names = tuple(name.removesuffix(".npy") for name in members)

    def header(self, name: str) -> Header:
        """Shape and type of an array; nothing of it is unpacked.

        Raises InputError where it is damaged, or would be larger than the limits allow or than what is there of it.
        """
        member = self._archive.getinfo(f"{name}.npy")
        with self._array(name), self._archive.open(member) as stream:
            shape, dtype = array_header(stream)  # type: ignore[arg-type]
            room = member.file_size - stream.tell()
        if dtype.hasobject:
            return shape, dtype
        check_volume(self._path, shape, dtype.itemsize, self._options)
        size = int(np.prod(shape, dtype=float)) * dtype.itemsize
        if size > room or room > DEFLATE_RATIO * (member.compress_size + 1):
            raise InputError(
                "E-NPZ-DAMAGED", f"{self._shown(name)} says it has {size} bytes, which are not there.", "Copy it again."
            )
        return shape, dtype

    def __getitem__(self, name: str) -> NDArray[Any]:
        """Raises InputError where it is damaged, too large, or needs code to read."""
        if self.header(name)[1].hasobject:
            raise InputError(
                "E-NPZ-DAMAGED", f"{self._shown(name)} needs code to read.", "Save plain arrays of numbers."
            )
        with self._array(name), self._archive.open(f"{name}.npy") as stream:
            return np.lib.format.read_array(stream, allow_pickle=False)

    @contextmanager
    def _array(self, name: str) -> Iterator[None]:
        with reading(self._shown(name), "E-NPZ-DAMAGED", what="is no plain array"):
            yield

    def _shown(self, name: str) -> str:
        return f'"{excerpt(name, 30)}" in {self._path.name}'


@contextmanager
def array_archive(
    path: Path, options: ReadOptions | None = None, content: bytes | None = None
) -> Iterator[ArrayArchive]:
    """An npz file, or its content under the name of ``path``. Raises InputError if it is no archive of arrays."""
    with reading(path, "E-NPZ-DAMAGED", what="is a damaged archive"):
        archive = zipfile.ZipFile(path if content is None else BytesIO(content))
    with archive:
        yield ArrayArchive(archive, path, options or ReadOptions())


def read_npy(path: Path, options: ReadOptions | None = None) -> NDArray[Any]:
    """The array of an npy file, mapped. Raises InputError where it is cut, too large, or needs code to read."""
    with reading(path, "E-NPY-DAMAGED", what="is no plain array"):
        with path.open("rb") as stream:
            shape, dtype = array_header(stream)
            room = path.stat().st_size - stream.tell()
        if dtype.hasobject:
            raise InputError("E-NPY-DAMAGED", f"{path.name} needs code to read.", "Save a plain array of numbers.")
        check_volume(path, shape, dtype.itemsize, options or ReadOptions())
        if np.prod(shape, dtype=float) * dtype.itemsize > room:
            raise InputError(
                "E-NPY-DAMAGED",
                f"{path.name} is cut short: {room} bytes of values are there.",
                "Save it anew with numpy.save, without objects in it.",
            )
        return np.asarray(np.load(path, allow_pickle=False, mmap_mode="c" if 0 not in shape else None))


def array_header(stream: BinaryIO) -> Header:
    """Shape and type of the array that begins here, the stream left at its values. Raises what numpy raises."""
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(stream)
    return shape, dtype
