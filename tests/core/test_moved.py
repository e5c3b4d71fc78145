"""Modules of version 0.1 are found by the names they had there."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module

import pytest

from delineate.core.moved import MOVED


@pytest.mark.parametrize("old", MOVED)
def test_an_old_name_is_the_module_itself(old: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, old, raising=False)
    with pytest.warns(DeprecationWarning, match=r"goes with 0\.3"):
        module = import_module(old)
    now = import_module(MOVED[old])
    assert module is now and now.__name__ == MOVED[old] and now.__spec__ is not None and now.__spec__.name == MOVED[old]


def test_a_script_of_version_0_1_runs() -> None:
    code = "import delineate, delineate.scan; from delineate.prompts import Box; print(delineate.Box is Box)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "True"


def test_a_name_that_never_was_is_not_found() -> None:
    with pytest.raises(ModuleNotFoundError):
        import_module("delineate.no_such_module")
