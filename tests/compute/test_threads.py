"""No verb and no option of Python's takes more threads than there are cores."""

from __future__ import annotations

from pathlib import Path

import pytest

import every_verb
from delineate.cli import app
from delineate.compute import threads
from delineate.core.errors import DelineateWarning, ModelError
from delineate.systems import BuildOptions, build, shipped_predictor


@pytest.fixture
def three_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "usable_cores", lambda: 3)


@pytest.mark.usefixtures("three_cores")
@pytest.mark.parametrize("asked", [0, 1, 3])
@pytest.mark.filterwarnings("error")
def test_as_many_as_there_are_cores_are_taken(asked: int) -> None:
    assert BuildOptions(threads=asked).threads == asked


@pytest.mark.usefixtures("three_cores")
@pytest.mark.parametrize("asked", [4, 64, 999, 10**9])
def test_more_are_clamped_and_told(asked: int) -> None:
    with pytest.warns(DelineateWarning, match=f"{asked} threads were asked for; 3 are used") as told:
        assert shipped_predictor(asked).threads == 3  # type: ignore[attr-defined]
    assert len(told) == 1
    for backend in ("torch", "openvino"):
        with pytest.warns(DelineateWarning):
            assert build("quill", BuildOptions(threads=asked, backend=backend)).threads == 3  # type: ignore[attr-defined]


@pytest.mark.usefixtures("three_cores")
def test_training_is_clamped_too() -> None:
    pytest.importorskip("accelerate")
    from delineate.quill.train.training import QuillTraining

    with pytest.warns(DelineateWarning):
        assert QuillTraining(Path("nowhere"), threads=999).threads == 3


@pytest.mark.parametrize("asked", [-1, -999])
def test_negative_numbers_are_refused(asked: int) -> None:
    with pytest.raises(ModelError) as caught:
        BuildOptions(threads=asked)
    assert caught.value.code == "E-THREADS" and caught.value.hint


def _with_threads() -> list[str]:
    from typer.main import get_command

    def command(words: str) -> object:
        found = get_command(app)
        for word in words.split():
            found = found.commands[word]  # type: ignore[attr-defined]
        return found

    return [verb for verb in every_verb.verbs() if any(p.name == "threads" for p in command(verb).params)]  # type: ignore[attr-defined]


@pytest.mark.parametrize("verb", _with_threads())
def test_every_verb_with_threads_counts_them(verb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("accelerate")
    pytest.importorskip("transformers")
    from training_discs import discs

    monkeypatch.chdir(tmp_path)
    discs(tmp_path / "data", 2)
    with pytest.raises(ModelError) as caught:
        words = list(every_verb.WORDS[verb][0])
        if "--threads" in words:
            del words[(at := words.index("--threads")) : at + 2]
        app([*verb.split(), *words, "--threads", "-1"], standalone_mode=False)
    assert caught.value.code == "E-THREADS"


@pytest.mark.parametrize(
    ("second", "first", "cores"),
    [
        pytest.param("200000 100000\n", None, 2, id="cgroup-2"),
        pytest.param("150000 100000\n", None, 2, id="cgroup-2-part-of-a-core"),
        pytest.param("50000 100000\n", None, 1, id="cgroup-2-half-a-core"),
        pytest.param("max 100000\n", None, 64, id="cgroup-2-no-limit"),
        pytest.param(None, ("300000\n", "100000\n"), 3, id="cgroup-1"),
        pytest.param(None, ("-1\n", "100000\n"), 64, id="cgroup-1-no-limit"),
        pytest.param("damaged", None, 64, id="unreadable"),
        pytest.param(None, None, 64, id="none"),
    ],
)
def test_the_share_a_container_grants_counts(
    second: str | None, first: tuple[str, str] | None, cores: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [tmp_path / name for name in ("cpu.max", "quota", "period")]
    for path, text in zip(paths, (second, *(first or (None, None))), strict=True):
        if text is not None:
            path.write_text(text)
    monkeypatch.setattr(threads, "CGROUP_2", paths[0])
    monkeypatch.setattr(threads, "CGROUP_1", tuple(paths[1:]))
    monkeypatch.setattr(threads.os, "sched_getaffinity", lambda _: set(range(64)), raising=False)
    assert threads.usable_cores() == cores
