"""Where the files of a data set may lie: in its own folder, and elsewhere only if a person allows it.

A data set is often somebody else's. An index that names ``/home/me/scan.nii.gz`` or ``../scan.nii.gz``, or a link to
such a place, would have any scan that the user can read measured, learned from, or packed into files that are passed
on. So every path of a data set is followed through all links, and what it ends at has to lie in the data set's folder.

- The folder itself may be a link, and links within it may lead anywhere within it. Hard links are plain files.
- DVC, git-annex and many BIDS folders are links to a store elsewhere: ``follow_links`` (``--follow-links``) allows it.
- Pipes and devices are not read.
- A folder that a person names as one scan is no data set: links to files in it are read, and it is said how many lead
  out of it (``io.opening``).
"""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from delineate.core.errors import InputError
from delineate.io.opening import detached_data


class OutsideError(InputError):
    """An entry of a data set that leads outside its folder.

    entry   as the data set names it
    target  where it leads
    """

    def __init__(self, root: Path, entry: str, target: Path) -> None:
        self.entry, self.target = entry, target
        super().__init__(
            "E-DATA-OUTSIDE",
            f"{self.where}, outside the data set {root}.",
            "If that is meant (DVC, git-annex and BIDS folders link to a store elsewhere), add --follow-links.",
        )

    @property
    def where(self) -> str:
        """Which entry leads where, as words."""
        return f"{self.entry} leads to {self.target}"


@dataclass(frozen=True)
class DataFolder:
    """The folder of a data set.

    follow_links  whether its paths and links may lead outside it
    """

    root: Path
    follow_links: bool = False

    def inside(self, name: str | Path) -> Path:
        """The path of an entry that is named relative to the folder.

        Raises OutsideError if it leads outside.
        """
        return self.require_inside(self.root / name)

    def require_inside(self, path: Path) -> Path:
        """The same path.

        Raises OutsideError if it leads outside the folder, and InputError if it leads round in a circle or is no path.
        """
        if self.follow_links:
            return path
        try:
            target = path.resolve()
        except (OSError, RuntimeError, ValueError) as error:  # a loop of links, a null byte
            raise InputError(
                "E-DATA-PATH",
                f"{self.entry(path)} in {self.root} leads nowhere: {error}.",
                "Mend the path in the index, or fetch the file it names.",
            ) from None
        if not target.is_relative_to(self._resolved):
            raise OutsideError(self.root, self.entry(path), target)
        return path

    def holds(self, path: Path) -> bool:
        """Whether a path leads to a place in the folder, or may lead elsewhere."""
        try:
            self.require_inside(path)
        except InputError:
            return False
        return True

    def files(self, path: Path) -> list[Path]:
        """Every file that is read for a path of the data set, in a fixed order; none where nothing is.

        Of a header with its voxels beside it both, of a folder all in it and in its folders. Raises OutsideError if
        one of them leads outside, and InputError for a pipe or a device.
        """
        self.require_inside(path)
        try:
            if path.is_dir():
                return list(self._files_in(path, frozenset({path.resolve()})))
            if path.is_file():
                return [path, *(self.require_inside(data) for data in detached_data(path))]
            there = path.exists()
        except OSError as error:
            raise InputError(
                "E-FILE-UNREADABLE",
                f"{error.filename} cannot be read: {error.strerror}.",
                "See to its rights, and whether the disk is there.",
            ) from None
        if there:
            raise InputError(
                "E-DATA-FILE",
                f"{self.entry(path)} in {self.root} is no file, but a pipe or a device.",
                "Save it as a file.",
            )
        return []

    def search(self, pattern: str) -> list[Path]:
        """Files anywhere below the folder whose names match; linked folders are entered where they may be."""
        seen = {self._resolved}

        def enters(folder: Path) -> bool:
            real = folder.resolve()
            new = real not in seen and (self.follow_links or real.is_relative_to(self._resolved))
            seen.add(real)
            return new

        found: list[Path] = []
        for folder, folders, names in os.walk(self.root, followlinks=True):
            folders[:] = [name for name in sorted(folders) if enters(Path(folder, name))]
            found += [Path(folder, name) for name in fnmatch.filter(names, pattern)]
        return sorted(path for path in found if path.is_file() or path.is_symlink())

    def entry(self, path: Path) -> str:
        """A path as the data set names it."""
        return path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else str(path)

    @cached_property
    def _resolved(self) -> Path:
        return self.root.resolve()

    def _files_in(self, folder: Path, above: frozenset[Path]) -> Iterator[Path]:
        """Files in a folder and its folders; a link to a folder it lies in is not entered again."""
        with os.scandir(folder) as listed:
            entries = sorted(listed, key=lambda entry: entry.name)
        for entry in entries:
            path = folder / entry.name
            if entry.is_symlink():
                self.require_inside(path)
            if entry.is_dir():
                real = path.resolve()
                if real not in above:
                    yield from self._files_in(path, above | {real})
            elif entry.is_file():
                yield path


ANYWHERE = DataFolder(Path(), follow_links=True)  # of scans that a person named one by one
