"""``-m auto`` of ``segment``: the model that was measured to be best for the scan and its prompts, put in its place."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from delineate.core.prompt_log import AddPrompt, AddPrompts, PromptLog, Propagate
from delineate.core.scan import Scan
from delineate.predictors.capabilities import PromptKind
from delineate.systems.routing import AUTO, choose_model

if TYPE_CHECKING:
    from delineate.verbs.segment import SegmentRequest


def routed(request: SegmentRequest, scan: Scan) -> tuple[SegmentRequest, str]:
    """The request with a model named, and why that one; as it was, and "", where a model was named."""
    if request.model.name != AUTO:
        return request, ""
    chosen = choose_model(scan, frozenset(_kinds(request)), _followed(request))
    model = request.model.model_copy(update={"name": chosen.model})
    return request.model_copy(update={"model": model}), chosen.reason


def _kinds(request: SegmentRequest) -> Iterable[PromptKind]:
    asked = request.asked
    if isinstance(asked, PromptLog):
        for event in asked.current:
            if isinstance(event, AddPrompt | AddPrompts):
                yield from (PromptKind(prompt.type) for prompt in event.prompts)
        return
    for target in request.targets:
        yield from (PromptKind(prompt.type) for prompt in target.prompts)
        if target.mask is not None:
            yield PromptKind.MASK
        if target.markers is not None:
            yield PromptKind.BOX


def _followed(request: SegmentRequest) -> bool:
    asked = request.asked
    if isinstance(asked, PromptLog):
        return any(isinstance(event, Propagate) for event in asked.current)
    return any(target.propagate for target in request.targets)
