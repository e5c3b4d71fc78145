"""What a preview tells of a session: where it was prompted, and what looks wrong."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from delineate.core.manifest import ObjectRecord
from delineate.core.resolve import FramePrompts
from delineate.io.overlay import Remarks
from delineate.session import Session


def remarks_of(session: Session, objects: Iterable[ObjectRecord]) -> Remarks:
    """Prompts of a session, and doubts of its structures as they are recorded, by frame."""
    prompts: defaultdict[int, list[tuple[str, FramePrompts]]] = defaultdict(list)
    doubts: defaultdict[int, list[tuple[str, str]]] = defaultdict(list)
    for name, track in session.tracks.items():
        for prompt in track.prompts:
            prompts[prompt.placed.frame].append((name, prompt.placed.prompts))
    for one in objects:
        for frame, why in one.warnings.items():
            doubts[frame].append((one.name, why))
    return Remarks(prompts, doubts)
