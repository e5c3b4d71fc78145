"""What a preview tells of a session: where it was prompted, and what looks wrong."""

from __future__ import annotations

from collections import defaultdict

from delineate.core.resolve import FramePrompts
from delineate.io.overlay import Remarks
from delineate.session import Session


def remarks_of(session: Session) -> Remarks:
    """Prompts and doubts of every structure, by frame."""
    prompts: defaultdict[int, list[tuple[str, FramePrompts]]] = defaultdict(list)
    doubts: defaultdict[int, list[tuple[str, str]]] = defaultdict(list)
    for name, track in session.tracks.items():
        for prompt in track.prompts:
            prompts[prompt.placed.frame].append((name, prompt.placed.prompts))
        for frame, why in track.warnings.items():
            doubts[frame].append((name, why))
    return Remarks(prompts, doubts)
