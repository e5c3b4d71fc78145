"""Whose scan a case is, and parts that no subject is in twice."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from delineate.data.cases import Case

ONE_SUBJECT = re.compile(r"(patient|case|subject|subj|sub|pat)[_-]?\d", re.IGNORECASE)
SIDE = "[A-Za-z]|O[DS]"  # left or right, one of several: of the same subject
FIRST_NUMBER = re.compile(rf"^(.*?\d+)(?:{SIDE})?(?:[_ -].*)?$")


def subject_of(case: Case) -> str:
    """Whose scan it is, as far as is known: ``patient012_frame01`` and ``patient012_frame05`` are one, and so are the
    eyes ``Image_01L`` and ``Image_01R``.

    Where the layout does not say it, it is the id up to its first number.
    """
    if case.subject:
        return f"{case.dataset}/{case.subject}"
    match = FIRST_NUMBER.match(case.id.rsplit("/", 1)[-1])
    return f"{case.dataset}/{match[1] if match else case.id}"


def subjects_in(names: Sequence[str]) -> dict[str, str]:
    """Subjects of a folder's file names: what all of them begin with says nothing of the subject.

    So ``FLARE22_Tr_0001`` and ``FLARE22_Tr_0002`` are two, ``patient001_frame01`` and ``patient001_frame12`` one.
    """
    shared = _beginning(names) if len(set(names)) > 1 else ""
    shared = "" if ONE_SUBJECT.search(shared) else re.sub(r"\d+$", "", shared)
    found = {}
    for name in names:
        match = FIRST_NUMBER.match(name[len(shared) :])
        found[name] = shared + match[1] if match else name
    return found


def split_by_subject(cases: list[Case], shares: tuple[float, ...], seed: int = 0) -> list[list[Case]]:
    """Cases in parts of about these shares, all scans of a subject in one part.

    Raises ValueError if the shares do not sum to 1.
    """
    if abs(sum(shares) - 1) > 1e-6:
        raise ValueError(f"The shares {shares} do not sum to 1.")
    subjects = sorted({subject_of(case) for case in cases})
    np.random.default_rng(seed).shuffle(subjects)
    cuts = np.round(np.cumsum(shares)[:-1] * len(subjects)).astype(int)
    part_of = {s: n for n, part in enumerate(np.split(np.array(subjects), cuts)) for s in part.tolist()}
    parts: list[list[Case]] = [[] for _ in shares]
    for case in cases:
        parts[part_of[subject_of(case)]].append(case)
    return parts


def _beginning(names: Sequence[str]) -> str:
    """What all names begin with."""
    first, last = min(names), max(names)
    same = next((n for n, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))
    return first[:same]
