"""Structures by name in a short JSON."""

from __future__ import annotations

import json

import pytest

from delineate.core.errors import PromptError
from delineate.core.prompts import Box, Lasso, Point, Scribble, Text
from delineate.core.written_prompts import WrittenStructures, is_written


def test_structures_with_their_prompts() -> None:
    text = """{"LV": {"frame": 3, "box": [1, 2, 3, 4], "limit": [2, 8]},
    "RV": [{"frame": 3, "point": [5, 6], "neg": [[7, 8], [9, 9]], "text": "right ventricle"},
           {"space": "RAS", "scribble": [[1, 2, 3], [4, 5, 6]], "limit": [1, 5]},
           {"frame": 9, "lasso": [[1, 1], [5, 1], [5, 5]], "box": [[0, 0, 9, 9], [1, 1, 8, 8]],
            "neg_scribble": [[[1, 1], [2, 2]], [[3, 3], [4, 4]]], "limit": [4, 9]}]}"""
    written = WrittenStructures.parse(text)
    assert written.prompts("LV") == (Box(1, 2, 3, 4, frame=3),) and written.limit("LV") == (2, 8)
    assert written.prompts("RV") == (
        Text("right ventricle", frame=3),
        Point(5, 6, frame=3),
        Point(7, 8, positive=False, frame=3),
        Point(9, 9, positive=False, frame=3),
        Scribble(points=((1, 2, 3), (4, 5, 6)), space="RAS"),
        Box(0, 0, 9, 9, frame=9),
        Box(1, 1, 8, 8, frame=9),
        Lasso(points=((1, 1), (5, 1), (5, 5)), frame=9),
        Scribble(points=((1, 1), (2, 2)), positive=False, frame=9),
        Scribble(points=((3, 3), (4, 4)), positive=False, frame=9),
    )
    assert written.limit("RV") == (1, 9)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"LV": {"frme": 3}}', "LV.0.frme is no field"),
        ('{"LV": 3}', "LV is 3"),
        ('{"LV": {"box": [1, 2, "x", 4]}}', 'box.0.2 is "x"'),
        ("{}", "0 structures"),
        ("[]", "an object is meant"),
        ('{"LV": {"point": [[1], [2, 3]]}}', "2 or 3 coordinates"),
        ('{"LV": {"frame": 3}}', 'Nothing says where "LV" is'),
        ('{"LV": {"box": [9, 9, 2, 2]}}', "Did you mean 2,2,9,9"),
        ('{"LV": {"point": [1, 2]}', "no JSON"),
        ('{"LV": {"point": [1, 2]}, "RV": {"text": "a"}, "LV": {"point": [3, 4]}}', '"LV" stands there twice'),
        ('{"LV": {"frame": 1, "point": [1, 2], "point": [3, 4]}}', '"point" stands there twice'),
        ('{"LV": [{"frame": 1, "box": [1, 2, 3, 4], "frame": 2}]}', '"frame" stands there twice'),
    ],
)
def test_what_is_not_well_written_is_refused_by_its_field(text: str, says: str) -> None:
    with pytest.raises(PromptError) as caught:
        written = WrittenStructures.parse(text)
        [written.prompts(name) for name in written.root]
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("data", "so"),
    [
        ({"LV": {"box": [1, 2, 3, 4]}}, True),
        ({"format": "delineate-prompts/2", "events": []}, False),
        ({"events": []}, False),
        ({"prompts": {"events": []}}, False),
        ({"events": {"frame": 1, "point": [1, 2]}}, True),
        ({}, False),
        ([], False),
    ],
    ids=json.dumps,
)
def test_a_log_is_none(data: object, so: bool) -> None:
    assert is_written(data) is so
