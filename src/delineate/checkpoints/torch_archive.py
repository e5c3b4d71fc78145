"""Checkpoints of ``torch.save`` read without torch: the arrays of a zip archive, as numpy has them."""

from __future__ import annotations

import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from delineate.checkpoints.tensor_pickle import LONGEST, PickleRefusedError, StorageRecord, TensorPickle
from delineate.core.errors import ModelError

MOST_ENTRIES = 1 << 16
LOCAL_HEADER = struct.Struct("<4s22xHH")  # of an entry: signature, lengths of its name and of what follows it


def is_torch_archive(path: Path) -> bool:
    """Whether this is a file of ``torch.save`` in its zipped format, which is the usual one since torch 1.6."""
    with path.open("rb") as stream:
        return stream.read(2) == b"PK"


def require_checksums(path: Path) -> None:
    """Read an archive whole and raise zipfile.BadZipFile where an entry has other bytes than its CRC-32 says.

    torch looks at no checksum, so that a flipped bit would be another weight. It can be told to write none: where all
    are 0, there is nothing to compare.
    """
    with zipfile.ZipFile(path) as archive:
        named = any(entry.CRC for entry in archive.infolist())
        changed = archive.testzip() if named else None
    if changed is not None:
        raise zipfile.BadZipFile(f"the checksum of {changed} is not that of its bytes")


def read_torch_archive(path: Path) -> Any:
    """What was saved: dictionaries, lists and numbers, and tensors as arrays that cannot be written to.

    Arrays are mapped, not read: the file must not be replaced in place while they are in use. bfloat16, which numpy
    does not have, becomes float32 of the same values. Tensors that share a storage share memory.
    Raises ModelError if the file is damaged, or holds more than arrays.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            content = _Archive(archive, path).content()
        require_checksums(path)
        return content
    except PickleRefusedError as error:
        raise ModelError(
            "E-MODEL-PICKLE",
            f"{path.name} holds more than arrays ({error}), such as code that would run when it is loaded.",
            "Ask those it comes from for its arrays alone, as .safetensors or as torch.save(model.state_dict(), FILE).",
        ) from None
    except (zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, ValueError, RuntimeError) as error:
        raise ModelError("E-MODEL-DAMAGED", f"{path.name} cannot be read: {error}", "Download it again.") from None


class _Archive:
    """An open archive; storages are read once."""

    def __init__(self, archive: zipfile.ZipFile, path: Path) -> None:
        entries = {entry.filename: entry for entry in archive.infolist()}
        if len(entries) != len(archive.infolist()) or len(entries) > MOST_ENTRIES:
            raise zipfile.BadZipFile("it has entries of the same name, or too many")
        if sum(entry.file_size for entry in entries.values()) > path.stat().st_size:
            raise zipfile.BadZipFile("its entries are compressed or overlap, as torch never writes them")
        pickles = [name for name in entries if name.count("/") == 1 and name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise zipfile.BadZipFile("it is no archive of torch")
        self.path, self.entries = path, entries
        self.pickle, self.folder = pickles[0], pickles[0].removesuffix("data.pkl")
        order = self.folder + "byteorder"
        self.order: Literal["<", ">"] = ">" if order in entries and self._bytes(order) == b"big" else "<"
        self.storages: dict[StorageRecord, NDArray[Any]] = {}

    def content(self) -> Any:
        if self.entries[self.pickle].file_size > LONGEST:
            raise PickleRefusedError("a pickle of more than 64 MiB without the arrays")
        return TensorPickle(self._storage).run(self._bytes(self.pickle))

    def _storage(self, record: StorageRecord) -> NDArray[Any]:
        if record not in self.storages:
            self.storages[record] = self._mapped(record)
        return self.storages[record]

    def _mapped(self, record: StorageRecord) -> NDArray[Any]:
        name = f"{self.folder}data/{record.key}"
        entry = self.entries.get(name)
        if entry is None:
            raise PickleRefusedError(f"a storage {record.key[:40]} that is not in the archive")
        dtype = np.dtype("u2" if record.dtype == "bfloat16" else record.dtype).newbyteorder(self.order)
        if record.count < 0 or entry.file_size != record.count * dtype.itemsize:
            raise PickleRefusedError(f"a storage {record.key[:40]} of another size than it says")
        if not record.count:
            return np.empty(0, "float32" if record.dtype == "bfloat16" else record.dtype)
        values = np.memmap(self.path, dtype, "r", self._offset(entry), (record.count,)).view(np.ndarray)
        return _widened(values) if record.dtype == "bfloat16" else values.astype(dtype.newbyteorder("="), copy=False)

    def _bytes(self, name: str) -> bytes:
        """An entry as it is; zipfile would refuse one without a checksum."""
        entry = self.entries[name]
        with self.path.open("rb") as stream:
            stream.seek(self._offset(entry))
            return stream.read(entry.file_size)

    def _offset(self, entry: zipfile.ZipInfo) -> int:
        """Where the bytes of an entry begin: after its own header, which has a length of its own."""
        if entry.compress_type != zipfile.ZIP_STORED:
            raise zipfile.BadZipFile(f"{entry.filename} is compressed, as torch never writes it")
        with self.path.open("rb") as stream:
            stream.seek(entry.header_offset)
            header = stream.read(LOCAL_HEADER.size)
        signature, name_length, extra_length = LOCAL_HEADER.unpack(header)
        if signature != b"PK\x03\x04":
            raise zipfile.BadZipFile(f"{entry.filename} does not begin where the archive says")
        return entry.header_offset + LOCAL_HEADER.size + name_length + extra_length


def _widened(values: NDArray[Any]) -> NDArray[np.float32]:
    """bfloat16 bits as float32: the upper half of its bits."""
    return (values.astype(np.uint32) << 16).view(np.float32)
