"""Tables that other distributions add to: entry points are found, and a bad one hides nothing."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from delineate.core.registry import Registry


@dataclass(frozen=True)
class Fruit:
    name: str


APPLE, SEVERAL = Fruit("apple"), (Fruit("pear"), Fruit("plum"))
PLUGIN = """
from {module} import Fruit
GOOD = Fruit("fig")
TAKEN = Fruit("apple")
OTHER_KIND = "not a fruit"
"""


@pytest.fixture
def fruits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry[Fruit]:
    """The table as a process sees it in which another distribution is installed."""
    monkeypatch.setitem(sys.modules, "fruit_table", sys.modules[__name__])
    (tmp_path / "fruit_plugin.py").write_text(PLUGIN.format(module="fruit_table"))
    info = tmp_path / "fruit_plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: fruit-plugin\nVersion: 1.0\n")
    points = {"good": "GOOD", "taken": "TAKEN", "kind": "OTHER_KIND", "absent": "NOTHING"}
    lines = [f"{name} = fruit_plugin:{attribute}" for name, attribute in points.items()]
    (info / "entry_points.txt").write_text("[test.fruits]\n" + "\n".join([*lines, "gone = no_such_module:X"]) + "\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    return Registry("test.fruits", Fruit, ("fruit_table:APPLE", "fruit_table:SEVERAL"))


def test_built_in_entries_come_first_and_keep_their_order(fruits: Registry[Fruit]) -> None:
    assert list(fruits) == ["apple", "pear", "plum", "fig"] and fruits["apple"] is APPLE


def test_bad_entry_points_are_left_out_and_listed(fruits: Registry[Fruit]) -> None:
    assert set(fruits.failures) == {"taken", "kind", "absent", "gone"}
    assert "taken" in fruits.failures["taken"] and "no_such_module" in fruits.failures["gone"]


def test_a_program_registers_its_own(fruits: Registry[Fruit]) -> None:
    lime = fruits.register(Fruit("lime"))
    assert fruits["lime"] is lime
    with pytest.raises(ValueError, match="registered already"):
        fruits.register(Fruit("apple"))
    with pytest.raises(TypeError, match="no Fruit"):
        fruits.register("lime")  # type: ignore[arg-type]


@pytest.mark.parametrize("body", ["raise SystemExit('no license key')", "import sys; sys.exit(3)", "1 / 0"])
def test_a_module_that_stops_the_program_stops_nothing(
    body: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "stops.py").write_text(body)
    info = tmp_path / "stops-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: stops\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[test.stops]\none = stops:X\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(sys.modules, "fruit_table", sys.modules[__name__])
    monkeypatch.delitem(sys.modules, "stops", raising=False)
    table = Registry("test.stops", Fruit, ("fruit_table:APPLE",))
    assert list(table) == ["apple"] and "of stops" in table.failures["one"]
