"""The table of bad inputs: one row, one id, one promise kept."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

import pytest

import bad_inputs
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
