"""Going on from an earlier run or from labels, as it is typed."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from delineate.cli import app, guard
from delineate.core.manifest import Manifest


@pytest.fixture(autouse=True)
def streams_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "open_streams", lambda: None)


def typed(line: str) -> int:
    return guard.run(app, line.split())


def test_a_second_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    voxels = np.random.default_rng(0).integers(0, 60, (64, 48, 5)).astype(np.int16)
    voxels[10:22, 12:28] += 120
    voxels[38:50, 12:28] += 180
    nib.save(nib.Nifti1Image(voxels, np.diag([-1.0, -1.0, 3.0, 1.0])), "a.nii.gz")
    two = "--label left --frame 2 --box 8,10,24,30 --label right --box 36,10,52,30"
    assert typed(f"segment a.nii.gz {two} -o one.nii.gz -q") == 0
    line = "--label right --frame 4 --scribble 40,16 46,24"
    assert typed(f"segment a.nii.gz --from one.manifest.json {line} -o b.nii.gz") == 0
    record = Manifest.read(Path("b.manifest.json"))
    assert record is not None and {one.name: one.prompted for one in record.objects} == {"left": [2], "right": [2, 4]}
    assert typed("segment a.nii.gz --from b.manifest.json --undo 1 -o c.nii.gz -q") == 0
    first, third = (np.asarray(nib.load(name).dataobj) for name in ("one.nii.gz", "c.nii.gz"))
    assert (first == third).all()
    line = "--label more --frame 1 --box 8,10,24,30 --limit 1-2"
    assert typed(f"segment a.nii.gz --from one.nii.gz {line} -o d.nii.gz -q") == 0
    fourth = np.asarray(nib.load("d.nii.gz").dataobj)
    assert set(np.unique(fourth)) == {0, 1, 2, 3} and (fourth[fourth < 3] == first[fourth < 3]).all()
    limit = "--label right --limit 1-3"
    assert typed(f"segment a.nii.gz --from b.manifest.json {limit} -o f.nii.gz -q") == 2, "it is pointed at on slice 4"
    assert typed(f"segment a.nii.gz --from one.manifest.json {limit} -o f.nii.gz -q") == 0
    assert typed(f"segment a.nii.gz --from one.nii.gz {limit} -o g.nii.gz -q") == 0
    assert typed("replay f.manifest.json -o h.nii.gz -q") == 0
    left = first.copy()
    left[..., [0, 4]] *= first[..., [0, 4]] == 1  # what is right of it ends with slices 1 and 3
    assert (
        all((np.asarray(nib.load(f"{name}.nii.gz").dataobj) == left).all() for name in "fgh") and (left != first).any()
    )
    assert typed("segment a.nii.gz --from f.manifest.json --label left --frame 4 --point 12,16 -o i.nii.gz -q") == 0
    assert 0 in np.flatnonzero((np.asarray(nib.load("i.nii.gz").dataobj) == 1).any(axis=(0, 1))), "its limit, not mine"
    capsys.readouterr()
    for line, code in (
        ("--from one.manifest.json --label none --limit 1-3", "E-LABEL-NAME"),
        ("--from one.manifest.json --label left --limit 1-9", "E-LIMIT"),
        ("--from one.manifest.json", "E-PROMPT-NONE"),
        ("--from one.nii.gz --undo 1", "E-UNDO"),
        ("--undo 1 --point 1,1,1", "E-OPTION-UNUSED"),
        ("--from one.nii.gz --between lines", "E-OPTION"),
        ("--from none.nii.gz", "E-FILE-MISSING"),
        ("--point 1,1,1 --between follow", "E-OPTION-UNUSED"),
    ):
        assert typed(f"segment a.nii.gz {line} -o e.nii.gz") == 2
        assert code in capsys.readouterr().err, line
