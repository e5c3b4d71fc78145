"""What ships of measured tables is what a comparison found."""

from __future__ import annotations

from delineate.predictors.second_opinion import OpinionPrompt, opinion_table
from delineate.systems import SYSTEMS
from delineate.systems.routing import routing_table


def test_routes_are_what_was_measured() -> None:
    shipped = routing_table()
    assert shipped.routes and "bench compare" in shipped.measured["command"]
    assert {one.model for one in shipped.routes} <= set(SYSTEMS) and "quill" in shipped.models
    for one in shipped.routes:
        assert one.subjects <= one.cases and abs(one.mean - one.mean_default - one.difference) < 0.002
        assert one.interval is None or one.interval[0] <= one.difference <= one.interval[1]


def test_the_map_of_a_second_opinion_helps() -> None:
    table = opinion_table()
    assert (table.first, table.second) == ("quill", "lite_medsam") and set(table.maps) == set(OpinionPrompt)
    for how, one in table.maps.items():
        assert one.confidence(0.9, 0.95) > one.confidence(0.9, 0.3)
        before, after = table.errors[how]
        assert after < before
