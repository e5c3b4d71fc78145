"""The table of bad inputs: one row, one id, one promise kept."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

import pytest

import bad_inputs
from bad_inputs.rows import ELSEWHERE, NOT_HERE, NUMBERS
from bad_inputs.table import Row
from delineate.core.errors import DelineateError

ROWS: list[Row] = [
    row
    for module in iter_modules(bad_inputs.__path__)
    if module.name != "table"
    for row in import_module(f"bad_inputs.{module.name}").ROWS
]


@pytest.mark.parametrize("row", ROWS, ids=[row.id for row in ROWS])
def test_bad_input(row: Row, tmp_path: Path) -> None:
    if row.error is not None:
        with pytest.raises(DelineateError) as caught:
            row.run(tmp_path)
        assert caught.value.code == row.error
        text = str(caught.value)
    else:
        result = row.run(tmp_path)
        text = " ".join(n.message for n in result.notices if n.code == row.notice) if row.notice else ""
        assert bool(text) == bool(row.notice), f"expected notice {row.notice}"
        if row.check is not None:
            row.check(result)
    for words in row.says:
        assert words in text


def test_ids_are_unique() -> None:
    ids = [row.id for row in ROWS]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("number", NUMBERS)
def test_every_row_of_the_table_has_several_instances(number: int) -> None:
    """Two here, or tests that exist elsewhere; what is tested nowhere is said, and nothing is said of what is."""
    here = sum(re.match(rf"{number}[a-z]?-", row.id) is not None for row in ROWS)
    if number in NOT_HERE:
        assert here == 0 and number not in ELSEWHERE
        return
    for place in ELSEWHERE.get(number, ()):
        file, _, name = place.partition("::")
        text = (Path(__file__).parent / file).read_text()
        assert f"def {name}(" in text if name else "def test_" in text, place
    assert here >= 2 or number in ELSEWHERE, f"{here} instances"
