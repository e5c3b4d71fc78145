"""Fetching from a server that breaks off, sends the wrong file, or is not there (a real one, on this machine); two
processes at once; planted links; folders that cannot be written."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from delineate.checkpoints import store
from delineate.checkpoints.download import Download
from delineate.checkpoints.store import State
from delineate.core.errors import DelineateError, ModelError
from weights_server import CONTENT, SHA256, Server, kept_model, left, partial

processes = multiprocessing.get_context("spawn")
posix = pytest.mark.skipif(os.name != "posix", reason="rights and links of POSIX")


# fetching


def test_a_file_is_fetched_once_and_checked(address: str, models: Path) -> None:
    path = store.pull("mobile_sam", Download(address, SHA256))
    assert path.read_bytes() == CONTENT and store.cached_path("mobile_sam") == path
    assert store.pull("mobile_sam", Download(address, SHA256)) == path and len(Server.asked) == 1
    assert list(store.verify()) == [("mobile_sam", path, State.INTACT, "", True)]
    assert left(models) == ["mobile_sam.json", "mobile_sam.pt"]
    assert json.loads((models / "mobile_sam.json").read_text()) == {
        "file": "mobile_sam.pt",
        "sha256": SHA256,
        "source": address,
        "size": len(CONTENT),
        "mtime_ns": path.stat().st_mtime_ns,
    }


def test_an_interrupted_fetch_goes_on_where_it_stopped(address: str, models: Path) -> None:
    Server.breaks_at = 500_000
    with pytest.raises(ModelError) as caught:
        store.pull("mobile_sam", Download(address, SHA256))
    assert caught.value.code == "E-MODEL-PULL" and store.cached_path("mobile_sam") is None
    assert store.pull("mobile_sam", Download(address, SHA256)).read_bytes() == CONTENT
    assert Server.asked == ["", "bytes=500000-"] and left(models) == ["mobile_sam.json", "mobile_sam.pt"]


def test_a_server_that_cannot_go_on_starts_over(address: str) -> None:
    Server.breaks_at, Server.ignores_ranges = 500_000, True
    with pytest.raises(ModelError):
        store.pull("mobile_sam", Download(address, SHA256))
    assert store.pull("mobile_sam", Download(address, SHA256)).read_bytes() == CONTENT


def test_without_a_published_hash_nothing_is_gone_on_with(address: str, models: Path) -> None:
    Server.breaks_at = 500_000
    with pytest.raises(ModelError):
        store.pull("mobile_sam", Download(address))
    assert left(models) == []
    assert store.pull("mobile_sam", Download(address)).read_bytes() == CONTENT and Server.asked == ["", ""]


def test_an_unknown_file_of_unknown_length_is_refused(address: str, models: Path) -> None:
    Server.says_length = False
    with pytest.raises(ModelError, match="does not say how long"):
        store.pull("mobile_sam", Download(address))
    assert left(models) == []
    assert store.pull("mobile_sam", Download(address, SHA256)).read_bytes() == CONTENT


@pytest.mark.parametrize(
    "planted",
    [
        pytest.param(b"EVIL" * (len(CONTENT) // 4), id="of full length"),
        pytest.param(b"EVIL" * 1000, id="shorter"),
        pytest.param(b"EVIL" * len(CONTENT), id="longer"),
    ],
)
@pytest.mark.parametrize("sha256", [pytest.param(SHA256, id="hash published"), pytest.param("", id="no hash")])
def test_a_partial_file_of_something_else_is_not_believed(
    planted: bytes, sha256: str, address: str, models: Path
) -> None:
    partial(models, address, sha256).write_bytes(planted)
    (models / "mobile_sam.pt.part").write_bytes(planted)  # as earlier versions called it
    assert store.pull("mobile_sam", Download(address, sha256)).read_bytes() == CONTENT
    assert [found.intact for found in store.verify()] == [True]


def test_another_file_than_the_published_one_is_not_kept(address: str, models: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError) as caught:
        store.pull("mobile_sam", Download(address, "0" * 64))
    assert caught.value.code == "E-MODEL-HASH" and left(models) == [] and len(Server.asked) == 1


def test_an_earlier_file_stays_until_the_new_one_is_whole(address: str, models: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.pt").write_bytes(b"mine")
    path = store.import_checkpoint("mobile_sam", tmp_path / "mine.pt")
    path.write_bytes(b"changed")
    with pytest.raises(ModelError, match="not the published file"):
        store.pull("mobile_sam", Download(address, "0" * 64))
    assert path.read_bytes() == b"changed" and left(models) == ["mobile_sam.json", "mobile_sam.pt"]
    assert store.pull("mobile_sam", Download(address, SHA256)).read_bytes() == CONTENT
    assert store.cached_path("mobile_sam") == path


def test_a_persons_own_file_is_neither_replaced_nor_taken_for_the_published_one(
    address: str, models: Path, tmp_path: Path
) -> None:
    (tmp_path / "mine.pt").write_bytes(b"mine")
    path = store.import_checkpoint("mobile_sam", tmp_path / "mine.pt")
    for offline in (False, True):
        with pytest.raises(ModelError, match=r"imported from mine\.pt") as caught:
            store.pull("mobile_sam", Download(address, SHA256), offline=offline)
        assert caught.value.code == "E-MODEL-OTHER" and path.read_bytes() == b"mine" and not Server.asked
    path.unlink()
    assert store.pull("mobile_sam", Download(address, SHA256)).read_bytes() == CONTENT


def test_what_was_published_before_is_replaced(address: str, models: Path, tmp_path: Path) -> None:
    (tmp_path / "old.pt").write_bytes(b"before")
    path = store.import_checkpoint("mobile_sam", tmp_path / "old.pt")
    record = json.loads((models / "mobile_sam.json").read_text()) | {"source": address}
    (models / "mobile_sam.json").write_text(json.dumps(record))
    with pytest.raises(ModelError) as caught:
        store.pull("mobile_sam", Download(address, SHA256), offline=True)
    assert caught.value.code == "E-MODEL-OFFLINE"
    assert store.pull("mobile_sam", Download(address, SHA256)).read_bytes() == CONTENT and path.is_file()


def test_offline_nothing_is_asked(address: str) -> None:
    with pytest.raises(ModelError) as caught:
        store.pull("mobile_sam", Download(address), offline=True)
    assert caught.value.code == "E-MODEL-OFFLINE" and not Server.asked


def test_a_server_that_is_not_there(address: str) -> None:
    with pytest.raises(ModelError) as caught:
        store.pull("mobile_sam", Download("http://127.0.0.1:9/x.pt"))
    assert caught.value.code == "E-MODEL-PULL"


def test_a_folder_removed_during_a_fetch_is_told(address: str, models: Path) -> None:
    Server.meanwhile = lambda: shutil.rmtree(models)
    with pytest.raises(DelineateError):
        store.pull("mobile_sam", Download(address, SHA256))
    assert not models.exists() or left(models) == []
    assert store.pull("mobile_sam", Download(address, SHA256)).read_bytes() == CONTENT


# two at once


def _keep(file: Path) -> None:
    store.import_checkpoint("sam_vit_b", file)


def _pull(address: str) -> None:
    store.pull("mobile_sam", Download(address, SHA256))


def at_once(work: Callable[..., None], *arguments: object) -> list[int | None]:
    """The same in one process for each argument; their exit codes."""
    started = [processes.Process(target=work, args=(one,)) for one in arguments]
    for process in started:
        process.start()
    for process in started:
        process.join(120)
    return [process.exitcode for process in started]


def test_imports_at_once_keep_one_of_the_files(models: Path, tmp_path: Path) -> None:
    files = [tmp_path / "a.pt", tmp_path / "b.pt"]
    contents = {b"A" * 20_000_000, b"B" * 20_000_000}
    for file, content in zip(files, sorted(contents), strict=True):
        file.write_bytes(content)
    assert at_once(_keep_often, *files) == [0, 0]
    assert (models / "sam_vit_b.pt").read_bytes() in contents
    assert [found.intact for found in store.verify()] == [True]
    assert left(models) == ["sam_vit_b.json", "sam_vit_b.pt"]


def _keep_often(file: Path) -> None:
    """Each time, what is kept is one of the files, and its record is that of this file."""
    for _ in range(4):
        store.import_checkpoint("sam_vit_b", file)
        assert store.cached_path("sam_vit_b") is not None


def test_fetches_at_once_fetch_once(address: str, models: Path) -> None:
    Server.pause = 0.5
    assert at_once(_pull, address, address) == [0, 0]
    assert (models / "mobile_sam.pt").read_bytes() == CONTENT and Server.asked == [""]
    assert [found.intact for found in store.verify()] == [True]


def test_threads_wait_for_each_other_as_well(address: str, models: Path) -> None:
    Server.pause = 0.05
    threads = [threading.Thread(target=_pull, args=(address,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Server.asked == [""] and store.cached_path("mobile_sam") == models / "mobile_sam.pt"


def test_one_who_waits_too_long_is_told(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with store.locked(models, "medsam"), pytest.raises(ModelError) as caught, store.locked(models, "medsam", 0.1):
        pass
    assert caught.value.code == "E-MODEL-BUSY"


def _die_holding(models: Path) -> None:
    with store.locked(models, "medsam"):
        (models / ".medsam.pth.x1.part").write_bytes(b"half")
        os._exit(1)


def test_what_a_process_that_died_left_is_removed(models: Path, tmp_path: Path) -> None:
    at_once(_die_holding, models)
    kept_model(tmp_path)
    assert left(models) == ["medsam.json", "medsam.pth"]


# planted links


@posix
@pytest.mark.parametrize("name", ["medsam.pth.part", "medsam.json.part", "medsam.pth", "medsam.json", ".medsam.lock"])
def test_a_planted_link_is_not_followed(name: str, models: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim.txt"
    victim.write_text("VICTIM")
    models.mkdir()
    (models / name).symlink_to(victim)
    try:
        path = kept_model(tmp_path)
    except ModelError:
        assert name == ".medsam.lock"  # refused
    else:
        assert path.read_bytes() == CONTENT and not path.is_symlink()
        assert store.cached_path("medsam") == path
    assert victim.read_text() == "VICTIM"


@posix
@pytest.mark.parametrize("link", [Path.symlink_to, Path.hardlink_to])
@pytest.mark.parametrize("sha256", [SHA256, ""], ids=["hash published", "no hash"])
def test_a_planted_partial_file_is_not_followed(
    link: Callable[[Path, Path], None], sha256: str, address: str, models: Path, tmp_path: Path
) -> None:
    (tmp_path / "victim.txt").write_text("VICTIM")
    link(partial(models, address, sha256), tmp_path / "victim.txt")
    path = store.pull("mobile_sam", Download(address, sha256))
    assert path.read_bytes() == CONTENT and not path.is_symlink()
    assert (tmp_path / "victim.txt").read_text() == "VICTIM"


@posix
def test_a_folder_for_partial_files_that_others_may_write_is_refused(address: str, models: Path) -> None:
    partial(models, address).parent.chmod(0o777)
    with pytest.raises(ModelError, match="not made by this user alone"):
        store.pull("mobile_sam", Download(address, SHA256))


# folders that cannot be written


def _full_disk(models: Path, address: str) -> None:
    """No file may grow beyond a megabyte, as on a full disk."""
    import resource
    import signal

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
    for work in (
        lambda: store.import_checkpoint("medsam", models.parent / "new.pth"),
        lambda: store.pull("mobile_sam", Download(address)),
    ):
        with pytest.raises(DelineateError, match="File too large"):
            work()


@posix
def test_a_full_disk_loses_and_leaves_nothing(address: str, models: Path, tmp_path: Path) -> None:
    path = kept_model(tmp_path)
    (tmp_path / "new.pth").write_bytes(bytes(len(CONTENT)))
    process = processes.Process(target=_full_disk, args=(models, address))
    process.start()
    process.join(120)
    assert process.exitcode == 0
    assert left(models) == ["medsam.json", "medsam.pth"] and store.cached_path("medsam") == path


def _as_nobody(models: Path, address: str) -> None:
    """Another user, who may only read; from within the folder, as its parents may be closed to them."""
    os.chdir(models)
    os.environ["DELINEATE_MODELS"] = "."
    if os.getuid() == 0:
        os.setgid(65534)
        os.setuid(65534)
    assert store.cached_path("medsam") is not None
    for work in (
        lambda: store.import_checkpoint("medsam", Path("medsam.pth")),
        lambda: store.import_checkpoint("ft_sam", Path("medsam.pth")),
        lambda: store.pull("mobile_sam", Download(address, SHA256)),
    ):
        with pytest.raises(ModelError) as caught:
            work()
        assert caught.value.code == "E-MODEL-STORE" and "DELINEATE_MODELS" in caught.value.hint
    assert [found.intact for found in store.verify()] == [True]


@posix
@pytest.mark.parametrize(
    ("folder", "touched"),
    [
        pytest.param(0o555, True, id="a closed folder"),
        pytest.param(0o777, False, id="locks of another user"),
    ],
)
def test_a_store_of_another_user_can_be_read_only(
    folder: int, touched: bool, address: str, models: Path, tmp_path: Path
) -> None:
    if folder == 0o777 and os.getuid() != 0:
        pytest.skip("only root can become another user")
    path = kept_model(tmp_path)
    if touched:
        os.utime(path, (1, 1))
    for name in ("medsam", "mobile_sam", "ft_sam"):
        (models / f".{name}.lock").touch(0o644)
    models.chmod(folder)
    process = processes.Process(target=_as_nobody, args=(models, address))
    process.start()
    process.join(120)
    models.chmod(0o755)
    assert process.exitcode == 0 and left(models) == ["medsam.json", "medsam.pth"]
