"""Sessions of several threads give what the same operations give one by one."""

from __future__ import annotations

from session_stress import LIMITS, STORE_BYTES, stress


def test_sessions_of_several_threads_give_what_one_thread_gives() -> None:
    report = stress(sessions=8, threads=4, count=6)
    assert not report.errors
    assert (report.wrong, report.lost, report.disagreeing) == (0, 0, 0)
    assert report.operations == 48 and report.refused < 24
    assert report.store <= STORE_BYTES
    assert 0 < report.history <= LIMITS.history_bytes
