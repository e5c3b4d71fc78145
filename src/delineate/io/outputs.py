"""What one run writes: checked before the work, claimed during it, and put in place all at once.

Every verb and ``delineate.save`` write through this. The rules:

- An output that is an input, holds one or lies in one is refused whatever the options, by inode and through links.
- A file that exists is refused; with ``overwrite`` it is replaced if this program wrote it (``own_files``), never else.
- No two outputs share a name, and no two runs write to one name at a time.
- All outputs of a run appear, or none.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import tempfile
import unicodedata
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Self

from filelock import FileLock, Timeout

from delineate.core.errors import OutputError
from delineate.io.inputs import conflicting_input
from delineate.io.naming import COMPANIONS, require_name, stem_of
from delineate.io.own_files import foreign_file, is_own, seal

_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)
_FILES = (
    ".png",
    ".nii",
    ".gz",
    ".nrrd",
    ".mha",
    ".tif",
    ".tiff",
    ".npz",
    ".json",
    ".mp4",
    ".md",
    ".html",
)  # endings of outputs that are files


class Outputs:
    """The files and folders one run will write, as a context: nothing is there before it ends well.

    Parameters
    ----------
    paths
        Everything that will be written, companions such as manifest and preview among it.
    inputs
        Everything the run reads: scan, prompts, masks, model files, data set. None is left out silently.
    overwrite
        Replace what an earlier run of this program wrote.

    Raises
    ------
    OutputError
        On construction, if any of it cannot or must not be written; on entering, if another run is writing to one of
        the names; on leaving, if a name was taken meanwhile.
    """

    def __init__(self, paths: Sequence[Path], inputs: Iterable[Path | None] = (), overwrite: bool = False) -> None:
        self.paths = tuple(paths)
        self.overwrite = overwrite
        self._staging: dict[Path, Path] = {}  # folder: temporary folder in it
        self._locks: list[FileLock] = []
        self._done = False
        for path in self.paths:
            require_name(path)
        _check_distinct(self.paths)
        known = [path for path in inputs if path is not None]
        for path in self.paths:
            _check_no_input(path, known)
            check_replaceable(path, overwrite)
            _check_record(path, self.paths)
            _check_folder(path)

    def __enter__(self) -> Self:
        for path in sorted({_lock_of(path) for path in self.paths}):
            self._locks.append(_claimed(path))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._commit()
            elif isinstance(error, OSError) and error.errno in _DISK:
                raise _failed(self.paths[0], error) from error
        finally:
            for folder in self._staging.values():
                if self._done or not any(folder.glob("*.before")):  # what could not be brought back is not thrown away
                    shutil.rmtree(folder, ignore_errors=True)
            for lock in self._locks:
                with suppress(OSError):
                    Path(lock.lock_file).unlink(missing_ok=True)
                lock.release()

    def seal(self, path: Path) -> Path:
        """Mark what was staged for ``path`` as this program's, for good; gives where it is. Its hash may be taken then.

        Everything is sealed at the end at the latest.
        """
        staged = self.stage(path)
        seal(staged)
        return staged

    def stage(self, path: Path) -> Path:
        """Where to write ``path`` for now: a name in a temporary folder beside it, with the same ending."""
        target = _target(path)
        try:
            if target.parent not in self._staging:
                target.parent.mkdir(parents=True, exist_ok=True)
                made = tempfile.mkdtemp(prefix=".delineate-", suffix=".part", dir=target.parent)
                self._staging[target.parent] = Path(made)
        except OSError as error:
            raise _failed(path, error) from error
        return self._staging[target.parent] / target.name

    def put(self) -> None:
        """Put what is staged in place now, as the result so far; what is staged later replaces it."""
        self._commit()
        for folder in self._staging.values():
            shutil.rmtree(folder, ignore_errors=True)
        self._staging.clear()
        self._done, self.overwrite = False, True

    def _commit(self) -> None:
        """Put everything that was staged in place; take it all back if one cannot be."""
        undo: list[_Place] = []
        try:
            for path in self.paths:
                target = _target(path)
                staged = self._staging.get(target.parent, Path()) / target.name
                if target.parent in self._staging and os.path.lexists(staged):
                    seal(staged)
                    check_replaceable(path, self.overwrite)
                    undo.append(_Place.of(target, staged.with_name(f"{staged.name}.before")))
                    undo[-1].fill(staged)
        except BaseException as error:
            for place in reversed(undo):
                with suppress(OSError):
                    place.restore()
            if isinstance(error, OSError):
                raise _failed(path, error) from error
            raise
        self._done = True


class _Former(StrEnum):
    """What stood at an output's place before."""

    NOTHING = "nothing"
    FILE = "file"
    FOLDER = "folder"
    EMPTY = "empty folder"


@dataclass(frozen=True)
class _Place:
    """Where an output goes; what stood there is put aside to ``before``, and can be brought back from any state."""

    target: Path
    before: Path
    was: _Former

    @classmethod
    def of(cls, target: Path, before: Path) -> _Place:
        if not target.exists():
            return cls(target, before, _Former.NOTHING)
        if not target.is_dir():
            return cls(target, before, _Former.FILE)
        return cls(target, before, _Former.FOLDER if any(target.iterdir()) else _Former.EMPTY)

    def fill(self, staged: Path) -> None:
        if self.was is not _Former.NOTHING:
            shutil.copymode(self.target, staged)  # what was private stays so
        match self.was:
            case _Former.NOTHING if staged.is_dir():
                staged.rename(self.target)
            case _Former.NOTHING:
                _create(staged, self.target)
            case _Former.FILE:
                try:
                    os.link(self.target, self.before)  # so that the name is never missing
                except OSError:
                    shutil.copy2(self.target, self.before)
                staged.replace(self.target)
            case _Former.FOLDER:
                self.target.rename(self.before)
                staged.rename(self.target)
            case _Former.EMPTY:  # filled, as somebody may be in it, or a file system be mounted there
                for one in list(staged.iterdir()):
                    shutil.move(one, self.target / one.name)

    def restore(self) -> None:
        if self.was is _Former.EMPTY:
            for one in list(self.target.iterdir()):
                _remove(one)
        elif self.was is _Former.NOTHING or self.before.exists():
            if self.was is not _Former.FILE:
                _remove(self.target)
            if self.before.exists() and self.target.exists() and self.before.samefile(self.target):
                self.before.unlink()  # renaming one name of a file to another does nothing
            elif self.before.exists():
                self.before.replace(self.target)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def check_replaceable(path: Path, overwrite: bool) -> None:
    """Raise OutputError if something is at ``path`` that must stay; an empty folder need not."""
    target = _target(path)
    if not os.path.lexists(target):
        return
    if target.is_dir():
        if path.suffix in _FILES:
            raise OutputError("E-OUTPUT-FOLDER", f"{path} is a folder.", "Choose another name with -o.")
        if not any(target.iterdir()):
            return
    elif not target.is_file():
        raise OutputError("E-OUTPUT-SPECIAL", f"{path} is no ordinary file.", "Choose another name with -o.")
    own = is_own(target)
    if own and overwrite and os.path.ismount(target):
        raise OutputError(
            "E-OUTPUT-MOUNTED",
            f"{path} is where a file system is mounted: what is in it cannot be replaced all at once.",
            "Choose a folder in it with -o.",
        )
    if own and overwrite:
        return
    if own:
        raise OutputError(
            "E-OUTPUT-EXISTS",
            f"{path} exists already.",
            "Replace it with --overwrite (overwrite=True in Python), or choose another name with -o.",
        )
    if not overwrite:
        raise OutputError(
            "E-OUTPUT-EXISTS",
            f"{path} exists already.",
            "It is not as this program wrote it, and never replaced: choose another name with -o.",
        )
    alien = foreign_file(target) if target.is_dir() else None
    what = f"it holds {alien.relative_to(target)}, which" if alien is not None else "it"
    raise OutputError(
        "E-OUTPUT-FOREIGN",
        f"{path} exists already, and {what} was not written by this program, or was changed since.",
        "It is never replaced: choose another name with -o, or move it away yourself.",
    )


def check_run_folder(
    folder: Path, inputs: Iterable[Path | None] = (), kept: Sequence[str] = (), resume: bool = False
) -> None:
    """Whether a run may keep its files in ``folder``: it is no input, holds none and lies in none.

    kept    files of which a run of training has one at least; the folder must be empty or missing without ``resume``,
            and hold one with it (in a folder of a stage, where there are stages). None: other files may lie there
    Raises OutputError.
    """
    require_name(folder)
    _check_no_input(folder, [path for path in inputs if path is not None])
    if folder.exists() and not folder.is_dir():
        raise OutputError("E-OUTPUT-FOLDER", f"{folder} is a file, not a folder.", "Choose another name with -o.")
    if kept and folder.is_dir() and any(folder.iterdir()):
        begun = any(one.is_file() for name in kept for one in (folder / name, *folder.glob(f"*/{name}")))
        if not resume or not begun:
            way = "Go on with --resume, or choose another -o." if begun else "Choose another folder with -o."
            raise OutputError(
                "E-OUTPUT-EXISTS", f"{folder} holds {'a run' if begun else 'files, and no run,'} already.", way
            )
    _check_folder(folder / "file")


def _target(path: Path) -> Path:
    """The place itself, behind links."""
    return path.resolve()


def _check_distinct(paths: Sequence[Path]) -> None:
    """No two names that a file system could take for the same one."""
    seen: dict[str, Path] = {}
    for path in paths:
        key = unicodedata.normalize("NFC", str(_target(path))).casefold()
        if key in seen:
            raise OutputError(
                "E-OUTPUT-TWICE", f"{path} would be written twice in one run.", "Give the outputs different names."
            )
        seen[key] = path


def _check_no_input(path: Path, inputs: Sequence[Path]) -> None:
    found = conflicting_input(path, inputs)
    if found is not None:
        raise OutputError(
            "E-OUTPUT-INPUT",
            f"{path} {found.relation} the input {found.path}: an input is never written to.",
            "Choose another place with -o.",
        )


def _check_folder(path: Path) -> None:
    """The nearest folder that exists must take files."""
    folder = _target(path).parent
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir():
        raise OutputError("E-OUTPUT-CLOSED", f"{folder} is a file, not a folder.", "Choose another place with -o.")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError("E-OUTPUT-CLOSED", f"Nothing can be written in {folder}.", "Choose another place with -o.")


def _check_record(path: Path, paths: Sequence[Path]) -> None:
    """Raise OutputError if ``path`` belongs to other outputs that are still there: their record, preview or film."""
    ending = next((one for one in COMPANIONS if path.name.endswith(one)), None)
    if ending is None:
        return
    record = path.with_name(path.name.removesuffix(ending) + COMPANIONS[0])
    if not record.is_file():
        return
    try:
        known = {str(one["name"]) for one in json.loads(record.read_bytes())["outputs"]}
    except (OSError, ValueError, KeyError, TypeError):
        return
    others = known - {one.name for one in paths}
    still = sorted(name for name in others if Path(name).name == name and path.with_name(name).exists())
    if still:
        raise OutputError(
            "E-OUTPUT-RECORD",
            f"{path} is also of {still[0]}, which this run does not write.",
            "Move that away, or choose another name with -o: outputs with one stem share record and preview.",
        )


def _lock_of(path: Path) -> Path:
    """One lock for an output and its companions."""
    target = _target(path)
    name = next((target.name.removesuffix(one) for one in COMPANIONS if target.name.endswith(one)), None)
    return target.parent / f".delineate-{stem_of(target) if name is None else name}.lock"


def _claimed(path: Path) -> FileLock:
    output = path.parent / path.name.removeprefix(".delineate-").removesuffix(".lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if os.path.lexists(path) and (path.is_symlink() or not path.is_file() or path.stat().st_size):
            raise OutputError("E-OUTPUT-BUSY", f"{path} is in the way.", "Move it away, or choose another -o.")
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o644))  # says why not; a lock would only wait
        lock = FileLock(path, timeout=0)
        lock.acquire()
    except Timeout:
        raise OutputError(
            "E-OUTPUT-BUSY",
            f"Another run is writing {output} at this moment.",
            "Wait for it, or choose another name with -o.",
        ) from None
    except OSError as error:
        raise _failed(output, error) from error
    return lock


def _create(staged: Path, target: Path) -> None:
    """Put a file where none is; the first of two runs wins.

    Raises OutputError if one is there by now.
    """
    try:
        os.link(staged, target)
        staged.unlink()
    except FileExistsError:
        raise OutputError(
            "E-OUTPUT-EXISTS", f"{target} was written by another run meanwhile.", "Choose another name with -o."
        ) from None
    except OSError:  # a file system without hard links
        os.close(os.open(target, os.O_CREAT | os.O_EXCL))
        staged.replace(target)


def _failed(path: Path, error: OSError) -> OutputError:
    why = error.args[0][0][2] if isinstance(error, shutil.Error) else error.strerror or error
    return OutputError(
        "E-OUTPUT-FAILED",
        f"{path} could not be written: {why}.",
        "See to the rights of the folder and to the space on the disk, or choose another -o.",
    )
