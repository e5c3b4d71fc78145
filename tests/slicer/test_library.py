"""The Slicer module's library, without Slicer, against a real server."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest

from delineate.io.opening import open_scan
from serving import FRAMES, TOKEN, served, voxels

MODULE = Path(__file__).resolve().parents[2] / "slicer" / "Delineate"
BAR = (voxels() == 200).transpose(2, 1, 0)  # (k, j, i)
OBLIQUE = np.array([[1.0, 0.2, 0.1, -7], [-0.2, 1.5, 0.3, 20], [0, -0.3, 3.0, 4], [0, 0, 0, 1]])
LPS, LEFT_HANDED = np.diag([-1.0, -1.5, 3.0, 1.0]), np.diag([1.0, 1.5, -3.0, 1.0])


@pytest.fixture(autouse=True)
def _module(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(str(MODULE))
    yield
    for name in [name for name in sys.modules if name.startswith("DelineateLib")]:
        del sys.modules[name]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with served(tmp_path_factory.mktemp("state")) as found:
        yield found


def ras(ijk: tuple[float, ...], affine: np.ndarray) -> list[float]:
    return (affine @ [*ijk, 1])[:3].tolist()


@pytest.mark.parametrize("affine", [LPS, LEFT_HANDED, OBLIQUE], ids=["LPS", "left-handed", "oblique"])
def test_a_click_in_millimeters_is_outlined_followed_and_undone(address: str, affine: np.ndarray) -> None:
    from DelineateLib import prompts
    from DelineateLib.client import Client
    from DelineateLib.conversation import Conversation

    one = Conversation(Client(address, TOKEN), voxels().transpose(2, 1, 0), affine)
    assert one.prompt("bar", [prompts.point(ras((12, 10, 4), affine))]) == {"bar"}
    assert one.score and np.array_equal(one.volumes["bar"][4], BAR[4]) and not one.volumes["bar"][3].any()
    one.follow(["bar"])
    assert one.progress is not None
    while one.progress is not None:
        one.step()
        time.sleep(0.02)
    assert np.array_equal(one.volumes["bar"], BAR)
    assert one.undo() == {"bar"} and one.volumes["bar"].sum() == BAR[4].sum()
    one.undo()
    assert not one.volumes["bar"].any()
    one.redo()
    assert np.array_equal(one.volumes["bar"][4], BAR[4])


def test_what_is_drawn_becomes_prompts_on_slices() -> None:
    from DelineateLib import prompts

    grid = prompts.Grid((40, 30, FRAMES), OBLIQUE, 2)
    flat = [ras((i, 10, 4), OBLIQUE) for i in range(11, 20)]
    (scribble,) = prompts.line(flat, grid, positive=False)
    assert (scribble["type"], scribble["positive"], len(scribble["points"])) == ("scribble", False, 9)
    points = prompts.line([ras((12, 10, k), OBLIQUE) for k in np.linspace(1, 6, 60)], grid)
    assert {one["type"] for one in points} == {"point"} and len(points) <= 6 * prompts.MOST_POINTS
    (lasso,) = prompts.loop([ras((i, j, 5), OBLIQUE) for i, j in ((9, 7), (30, 7), (30, 18))], grid)
    assert lasso["type"] == "lasso"
    corners = [ras((i, j, k), OBLIQUE) for i in (8.5, 21.5) for j in (6.5, 17.5) for k in (3.5, 5.5)]
    assert prompts.box(corners, grid)[0]["corners"] == [9, 7, 4, 22, 18, 6]
    thin = [ras((i, j, 4), OBLIQUE) for i in (8.5, 21.5) for j in (6.5, 17.5)]
    assert prompts.box(thin, grid) == [{"type": "box", "corners": [9, 7, 22, 18], "frame": 4}]
    with pytest.raises(ValueError, match="axial view"):
        prompts.loop([ras((12, 10, k), OBLIQUE) for k in (1, 3, 5)], grid)
    with pytest.raises(ValueError, match="outside"):
        prompts.box([ras((90, 90, 90), OBLIQUE), ras((99, 99, 99), OBLIQUE)], grid)


def test_every_way_to_point_is_answered(address: str) -> None:
    from DelineateLib import prompts
    from DelineateLib.client import Client
    from DelineateLib.conversation import Conversation

    one = Conversation(Client(address, TOKEN), voxels().transpose(2, 1, 0), OBLIQUE)
    square = [ras((i, j, 6), OBLIQUE) for i, j in ((9, 7), (27, 7), (27, 17), (9, 17))]
    given = {
        "line": prompts.line([ras((i, 10, 5), OBLIQUE) for i in range(11, 20)], one.grid),
        "across": prompts.line([ras((12, 10, k), OBLIQUE) for k in (2, 3, 4)], one.grid),
        "loop": prompts.loop(square, one.grid),
        "box": prompts.box([ras(c, OBLIQUE) for c in ((9, 7, 2), (29, 17, 9))], one.grid),
    }
    for name, drawn in given.items():
        assert one.prompt(name, drawn) == {name} and (one.volumes[name].astype(bool) & BAR).any(), name
    assert sorted(np.flatnonzero(one.volumes["across"].any(axis=(1, 2)))) == [2, 3, 4]
    assert one.remove("loop") == {"loop"} and not one.volumes["loop"].any()


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32", "float64"])
def test_a_volume_is_read_as_it_was_sent(tmp_path: Path, dtype: str) -> None:
    from DelineateLib.geometry import nrrd_of

    array = voxels().transpose(2, 1, 0).astype(dtype)
    (tmp_path / "a.nrrd").write_bytes(nrrd_of(array, OBLIQUE))
    scan = open_scan(tmp_path / "a.nrrd")
    assert np.allclose(scan.grid.affine, OBLIQUE) and np.array_equal(scan.voxels(), array.transpose(2, 1, 0))
    with pytest.raises(ValueError, match="colors"):
        nrrd_of(array[..., None], OBLIQUE)


def test_what_is_wrong_is_said_in_words(address: str) -> None:
    from DelineateLib import prompts
    from DelineateLib.client import Client, ServerError
    from DelineateLib.conversation import Conversation

    with pytest.raises(ServerError, match="token"):
        Client(address, "wrong").info()
    with pytest.raises(ServerError, match="does not answer"):
        Client("127.0.0.1:9", TOKEN, seconds=2).info()
    one = Conversation(Client(address, TOKEN), voxels().transpose(2, 1, 0), LPS)
    with pytest.raises(ServerError) as refused:
        one.prompt("bar", [prompts.point((900, 900, 900))])
    assert refused.value.status == 400 and refused.value.code.startswith("E-")
    assert one.prompt("bar", [prompts.point(ras((12, 10, 4), LPS))]) == {"bar"}


@pytest.mark.stage
def test_a_server_is_started_beside_slicer_and_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from DelineateLib.client import Client
    from DelineateLib.local_server import LocalServer

    monkeypatch.setenv("DELINEATE_STATE", str(tmp_path))
    server = LocalServer([sys.executable, "-m", "delineate"])
    try:
        until = time.monotonic() + 120
        while not server.address and server.running and time.monotonic() < until:
            time.sleep(0.1)
        assert server.address, server.lines
        assert Client(server.address, server.token).info()["name"] == "Delineate"
        assert not any(server.token in word for word in server.command)
    finally:
        server.stop()
    assert not server.running


def test_frames_and_masks_are_what_the_server_reads(address: str) -> None:
    from DelineateLib import masks
    from DelineateLib.client import Client
    from DelineateLib.conversation import FramesConversation

    rng = np.random.default_rng(0)
    for mask in (rng.random((7, 5)) > 0.5, np.ones((3, 4), bool), np.zeros((3, 4), bool)):
        made = masks.encoded(mask)
        assert np.array_equal(masks.decoded({"size": [made["height"], made["width"]], "counts": made["counts"]}), mask)
    frames = np.full((5, 30, 40), -50, np.int16)
    for number in range(5):
        frames[number, 8:16, 5 + 3 * number : 15 + 3 * number] = 300
    one = FramesConversation(Client(address, TOKEN), frames)
    assert one.accept("bar", 1, frames[1] > 0) == {"bar"}
    one.follow(["bar"])
    while one.progress is not None:
        one.step()
        time.sleep(0.02)
    assert one.volumes["bar"].shape == frames.shape and np.array_equal(one.volumes["bar"] > 0, frames > 0)
    with pytest.raises(ValueError, match="colors"):
        FramesConversation(Client(address, TOKEN), frames[..., None])


def wheel(folder: Path) -> Path:
    """A package with the command, whose extra needs nothing."""
    path = folder / "delineate-0.0-py3-none-any.whl"
    info = "delineate-0.0.dist-info"
    with ZipFile(path, "w") as file:
        file.writestr(
            "delineate.py", "import sys\n\ndef main():\n    print('served', *sys.argv[1:], file=sys.stderr)\n"
        )
        file.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: delineate\nVersion: 0.0\nProvides-Extra: server\n"
        )
        file.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr(f"{info}/entry_points.txt", "[console_scripts]\ndelineate = delineate:main\n")
        file.writestr(f"{info}/RECORD", "")
    return path


@pytest.mark.stage
def test_the_servers_environment_is_made_once_and_can_be_given_up(tmp_path: Path) -> None:
    from DelineateLib.environment import OwnEnvironment
    from DelineateLib.local_server import LocalServer

    variables = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    one = OwnEnvironment(tmp_path / "own", variables)
    one.make(str(tmp_path / "none.whl"))
    one.stop()
    assert not one.ready and not one.working and one.failed
    one.make(str(wheel(tmp_path)))
    until = time.monotonic() + 120
    while one.working and time.monotonic() < until:
        time.sleep(0.1)
    assert one.ready and not one.failed, one.lines
    server = LocalServer([str(one.command)], variables)
    while server.running or not server.lines:
        time.sleep(0.05)
    assert server.lines == ["served serve --port 0"]
    assert OwnEnvironment(tmp_path / "own", variables).ready
    with pytest.raises(OSError, match="no Python"):
        OwnEnvironment(tmp_path / "other", {"PATH": str(tmp_path)}).make()


def test_a_command_that_is_none_is_told(tmp_path: Path) -> None:
    from DelineateLib.local_server import LocalServer

    with pytest.raises(OSError):
        LocalServer([str(tmp_path / "none")])
