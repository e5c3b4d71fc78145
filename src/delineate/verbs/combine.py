"""The verb ``combine``: files of labels merged into one, structures united, subtracted, intersected, renamed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pydantic import Field

from delineate.core.errors import InputError, Notice
from delineate.core.segmentation import Segmentation
from delineate.io.naming import stem_of
from delineate.labels.combine import How, kept, made, merge, one_over_another, relabeled, renamed
from delineate.labels.grids import best_placed, require_same_grid
from delineate.labels.reading import LabelFile, open_segmentation
from delineate.verbs.label_files import LabelResult, emptied, on_labels, sizes, target_of, write_labels
from delineate.verbs.request import Overwrite, Request


class CombineRequest(Request):
    """Everything ``combine`` needs to know; done in the order in which it stands here.

    how  what is done with a structure that several files have: union, intersect, minus or majority
    """

    inputs: tuple[Path, ...] = Field(min_length=1)
    how: str = Field(default="union", description="Of a structure in several files: union, intersect, minus, majority.")
    make: tuple[str, ...] = Field(default=(), description='New structures: "wall = outer - inner", with +, - and &.')
    rename: tuple[str, ...] = Field(default=(), description='"old name = new name".')
    relabel: tuple[str, ...] = Field(default=(), description='Label values: "liver = 5".')
    keep: tuple[str, ...] = Field(default=(), description="Keep only these structures, in this order.")
    remove: tuple[str, ...] = Field(default=(), description="Leave out these structures.")
    no_overlap: bool = Field(default=False, description="A voxel in several structures goes to the last of them.")
    split: bool = Field(default=False, description="One file for each structure.")
    output: Path | None = None
    overwrite: Overwrite = False


def combine(request: CombineRequest) -> LabelResult:
    """Combine files of labels: merge, unite, intersect or subtract structures, rename and renumber them.

    Raises
    ------
    DelineateError
        If a file holds no labels, grids differ, a name is not there, or an assignment is none.
    """
    if request.how not in list(How):
        raise InputError("E-OPTION", f'--how "{request.how}" is not one of {", ".join(How)}.', "Choose one of these.")
    sources = [open_segmentation(path) for path in request.inputs]
    apart = [notice for other in sources[1:] for notice in require_same_grid(sources[0], other)]
    sources = best_placed(sources)
    outlines, notices = _named_apart(sources)
    found = merge(outlines[0], outlines[1:], How(request.how))
    before = found
    for text in request.make:
        found = made(found, *_assignment(text, "make"))
    found = renamed(found, dict(_assignment(text, "rename") for text in request.rename))
    found = relabeled(found, {name: _value(value) for name, value in _assignments(request.relabel)})
    if request.keep:
        found = kept(found, request.keep)
    for name in request.remove:
        found = found.removing(name)
    if request.no_overlap:
        found = one_over_another(found)
    target = target_of(sources[0], request.output, "combined")
    files, lost = write_labels(found, target, on_labels(sources[0]), request.inputs, request.overwrite, request.split)
    said = (*(n for one in sources for n in one.scan.notices), *apart, *notices, *emptied(before, found), *lost)
    return LabelResult(found, files, sizes(found), said)


def _named_apart(sources: Sequence[LabelFile]) -> tuple[list[Segmentation], tuple[Notice, ...]]:
    """The outlines; what has one structure without a name is called as its file where there are several files."""
    outlines, notices = [], []
    for source in sources:
        one = source.segmentation
        if len(sources) > 1 and not source.named and len(one.objects) == 1:
            name = stem_of(source.path)
            notices.append(Notice("W-COMBINE-NAMED", f"{source.path.name} names nothing: its structure is {name}."))
            one = renamed(one, {one.names[0]: name})
        outlines.append(replace(one))
    return outlines, tuple(notices)


def _assignments(texts: Sequence[str]) -> list[tuple[str, str]]:
    return [_assignment(text, "relabel") for text in texts]


def _assignment(text: str, option: str) -> tuple[str, str]:
    """``"a = b"`` as its two sides. Raises InputError where one is missing."""
    left, equals, right = text.partition("=")
    if not equals or not left.strip() or not right.strip():
        examples = {"make": "wall = outer - inner", "rename": "old name = new name", "relabel": "liver = 5"}
        raise InputError(
            "E-COMBINE-ASSIGNMENT", f'--{option} "{text}" says nothing.', f'Write it as "{examples[option]}".'
        )
    return left.strip(), right.strip()


def _value(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise InputError(
            "E-LABEL-RANGE", f'"{text}" is no label value.', "A label value is a whole number from 1 to 65535."
        ) from None
