"""Measures beside the volumes, and sessions to go on with."""

from __future__ import annotations

from pathlib import Path

import pytest

from serving import act, begin, client, followed, nifti, picture, point, upload


def test_diameters_are_mm_and_lie_on_the_outline(tmp_path: Path) -> None:
    with client(tmp_path) as http:
        scan = upload(http, nifti(tmp_path / "root"), "bar.nii.gz")
        session = begin(http, scan["id"])["id"]
        act(http, session, point(12, 10, frame=5))
        followed(http, session)
        found = http.get(f"/api/v1/sessions/{session}/measures", params={"object": "bar"}).json()
    assert found["unit"] == "mm" and found["widest"] == 11
    axes = found["frames"]["11"]
    assert len(found["frames"]) == 12  # the bar is 21 x 8 pixels of 1 x 1.5 mm there
    assert axes["long"] == pytest.approx((21**2 + 12**2) ** 0.5, rel=0.06)
    (x0, _), (x1, _) = axes["ends"]
    assert sorted((x0, x1)) == pytest.approx([9.5, 30.5], abs=0.6)
    (ax, ay), (bx, by) = axes["across"]
    assert axes["short"] == pytest.approx((((bx - ax) * 1.0) ** 2 + ((by - ay) * 1.5) ** 2) ** 0.5)


def test_sessions_that_hold_something_are_listed_and_damaged_ones_are_not(tmp_path: Path) -> None:
    with client(tmp_path) as http:
        scan = upload(http, picture())["id"]
        empty, used = begin(http, scan)["id"], begin(http, scan)["id"]
        act(http, used, point(20, 20))
        (tmp_path / "sessions" / f"{'0' * 32}.json").write_text("{")
        listed = http.get("/api/v1/sessions").json()["sessions"]
        assert [one["id"] for one in listed] == [used] != [empty]
        assert listed[0]["structures"] == ["bar"] and listed[0]["scan"] == scan
        assert http.get("/api/v1/sessions", params={"scan": "f" * 16}).json() == {"sessions": []}
    with client(tmp_path, host="0.0.0.0", public_names=("127.0.0.1",)) as http:
        assert http.get("/api/v1/sessions").json() == {"sessions": []}


def test_clean_and_interpolate_are_actions_undone_one_by_one(tmp_path: Path) -> None:
    with client(tmp_path) as http:
        scan = upload(http, nifti(tmp_path / "root"), "bar.nii.gz")
        session = begin(http, scan["id"])["id"]
        act(http, session, point(12, 10, frame=2))
        act(http, session, point(12, 10, frame=6))
        filled = act(http, session, {"event": "interpolate", "object": "bar"})
        assert [one["frame"] for one in filled["changed"]] == [3, 4, 5]
        cleaned = act(http, session, {"event": "clean", "object": "bar", "steps": {"smooth": 2.0}})
        assert cleaned["changed"]
        assert [one["frame"] for one in http.post(f"/api/v1/sessions/{session}/undo").json()["changed"]] == [
            one["frame"] for one in cleaned["changed"]
        ]
        wrong = {"event": "clean", "object": "bar", "steps": {"smooth": -1}}
        refused = http.post(f"/api/v1/sessions/{session}/events", json={"action": wrong})
        assert (refused.status_code, refused.json()["code"]) == (422, "E-CLEAN-AMOUNT")
