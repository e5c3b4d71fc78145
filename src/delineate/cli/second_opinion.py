"""Options of ``segment`` for another model that is asked about the outlines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

import typer

if TYPE_CHECKING:
    from delineate.verbs.segment import SegmentRequest


@dataclass(frozen=True)
class SecondOpinion:
    """Whether another model is asked, and which."""

    TITLE: ClassVar[str] = "Model and machine"

    second_opinion: Annotated[
        bool, typer.Option("--second-opinion", help="Ask another model too; where they differ is told first.")
    ] = False
    second_model: Annotated[
        str | None,
        typer.Option("--second-model", help="Which.  [default: lite_medsam, or quill where that answers]"),
    ] = None

    def wanted(self, request: SegmentRequest) -> SegmentRequest:
        """The request with what was chosen; as it was, such as an earlier run has it, where nothing was."""
        if not self.second_opinion and self.second_model is None:
            return request
        return request.model_copy(update={"second_opinion": self.second_model or ""})
