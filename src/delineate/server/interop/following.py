"""Protocols whose answer is the whole volume at once: a structure is followed for as long as a client may wait."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from functools import partial
from typing import Final

from delineate.core.errors import PromptError
from delineate.core.prompts import Prompt
from delineate.server.engine import Priority
from delineate.server.service import Service
from delineate.session import Session
from delineate.session.propagation import PropagatedFrame

FOLLOW_SECONDS: Final = 10.0  # of one answer
PromptsByFrame = Mapping[int, Sequence[Prompt]]


async def follow(service: Service, frames: Callable[[], Generator[PropagatedFrame, None, None]]) -> None:
    """Follow a structure through the volume, a frame at a time, so that other people's clicks go between."""
    running = await service.compute(frames, Priority.FOLLOW)
    until = time.monotonic() + FOLLOW_SECONDS
    while time.monotonic() < until:
        if await service.compute(partial(next, running, None), Priority.FOLLOW) is None:
            break
    await service.compute(running.close, Priority.FOLLOW)


def asked(session: Session, prompts: PromptsByFrame, structure: str) -> bool:
    """Answer prompts of a structure; False where nothing says where it is, as of a first click that says "not this"."""
    before = len(session.log.current)
    for together in prompts.values():
        try:
            session.prompt(list(together), structure)
        except PromptError as error:
            if error.code != "E-PROMPT-ONLY-NEGATIVE":
                raise
    return len(session.log.current) > before
