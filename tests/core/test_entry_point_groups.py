"""A plugin whose entry points are in a group that nothing reads is told of, with the group that may be meant."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import delineate
from delineate.core.entry_point_groups import GROUPS, unread_entry_points
from delineate.verbs.doctor import DoctorRequest, doctor


def installed(folder: Path, group: str, name: str = "my_plugin") -> Path:
    """A distribution as pip leaves it, with one entry point."""
    about = folder / f"{name}-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(f"[{group}]\nthing = {name}:THING\n")
    return folder


@pytest.mark.parametrize(
    ("group", "meant"),
    [
        ("delineate.system", "delineate.systems"), ("delineate.Systems", "delineate.systems"),
        ("delineate_systems", "delineate.systems"), ("delineate-formats", "delineate.formats"),
        ("delineate.format", "delineate.formats"), ("delineate.metric", "delineate.metrics"),
        ("delineate.memory_policy", "delineate.memory_policies"),
        ("delineate.memorypolicies", "delineate.memory_policies"),
        ("delineate.recipies", "delineate.recipes"), ("delineates.recipes", "delineate.recipes"),
        ("delineate", ""), ("delineate.windows", ""),
    ],
)  # fmt: skip
def test_a_misspelled_group_is_told(group: str, meant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(installed(tmp_path, group)))
    (told,) = unread_entry_points()
    assert "my_plugin" in told and group in told
    assert told.endswith(f": {meant} may be meant") if meant else told.endswith("nothing reads")


@pytest.mark.parametrize("group", [*GROUPS, "console_scripts", "delineation.systems", "pytest11"])
def test_other_groups_are_not(group: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(installed(tmp_path, group)))
    assert unread_entry_points() == []


def test_doctor_says_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(installed(tmp_path, "delineate.system")))
    told = doctor(DoctorRequest()).card["left out"]
    assert "my_plugin" in str(told) and "delineate.systems may be meant" in str(told)


def test_every_table_of_the_source_is_known() -> None:
    source = Path(delineate.__file__).parent
    texts = (
        path.read_text() for path in source.rglob("*.py") if path.name != "registry.py" or "core" not in path.parts
    )
    found = {group for text in texts for group in re.findall(r'Registry(?:\[\w+\])?\(\s*"(delineate\.\w+)"', text)}
    assert found <= set(GROUPS)
