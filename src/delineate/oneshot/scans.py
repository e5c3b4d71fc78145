"""Structures of supports found on a whole scan: one picture, or key frames from which a tracker takes over."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from delineate.core.prompts import Mask as MaskPrompt
from delineate.core.rle import Rle
from delineate.core.scan import Scan
from delineate.core.segmentation import Segmentation
from delineate.fewshot.matcher import Match, Matcher
from delineate.oneshot.orientation import Turn
from delineate.predictors.frame_predictor import FramePredictor
from delineate.session import Session

LOOKED_AT = 12  # frames of a volume or video that are matched, usually
NEARLY = 0.9  # of the best key frame's similarity, from which on another one is added


@dataclass(frozen=True)
class Finding:
    """What became of one structure on a scan.

    similarity  ``Match.similarity`` on its best frame
    found       whether that is enough
    frame       where it was matched best
    origin      what made the outline there
    confidence  ``Match.confidence`` there
    """

    name: str
    similarity: float
    found: bool
    frame: int
    origin: str
    confidence: float = 0.0


@dataclass(frozen=True, eq=False)
class ScanFindings:
    """Outlines of what was found, and what became of every structure."""

    segmentation: Segmentation
    findings: tuple[Finding, ...]

    @property
    def similarity(self) -> float:
        """Of the structure that is most doubtful."""
        return min((one.similarity for one in self.findings), default=0.0)


def find_on_scan(
    scan: Scan,
    matcher: Matcher,
    thresholds: Mapping[str, float],
    empty: Segmentation,
    predictor: FramePredictor | None = None,
    looked_at: int = LOOKED_AT,
) -> ScanFindings:
    """Outline what supports show on a scan.

    Parameters
    ----------
    thresholds
        By structure: the similarity from which on it counts as found.
    empty
        The scan's segmentation with the structures, their labels and colors, not outlined.
    predictor
        Follows structures through a volume or video from where they are matched best; None: each frame that was
        looked at stands alone.
    looked_at
        How many frames of a longer scan are matched.
    """
    matches = {number: matcher.match(scan.frame(number)) for number in frames_to_look_at(len(scan), looked_at)}
    findings, keys = [], {}
    for name in matcher.names:
        chosen = key_frames({n: one[name].similarity for n, one in matches.items() if name in one}, len(scan))
        best = matches[chosen[0]][name]
        found = best.similarity >= thresholds.get(name, 0.0) and bool(best.mask.any())
        findings.append(Finding(name, best.similarity, found, chosen[0], best.origin.value, best.confidence))
        if found:
            keys[name] = [n for n in chosen if matches[n][name].mask.any()]
    outlined = _outlined(scan, empty, matches, keys, predictor)
    return ScanFindings(outlined, tuple(findings))


def find_as_shown(
    scan: Scan,
    lying: Scan | None,
    matcher: Matcher,
    thresholds: Mapping[str, float],
    empty: Callable[[Scan], Segmentation],
    predictor: FramePredictor | None = None,
    looked_at: int = LOOKED_AT,
) -> ScanFindings:
    """The same on a volume whose slices are looked at as those of ``lying`` lie, whatever way its file stores them."""
    turn = None if lying is None else Turn.between(scan, lying)
    if turn is None:
        return find_on_scan(scan, matcher, thresholds, empty(scan), predictor, looked_at)
    seen = turn.scan(scan)
    found = find_on_scan(seen, matcher, thresholds, empty(seen), predictor, looked_at)
    outlines = turn.back(found.segmentation, scan)
    findings = [replace(one, frame=turn.frame(one.frame, scan, outlines[one.name])) for one in found.findings]
    return ScanFindings(outlines, tuple(findings))


def frames_to_look_at(count: int, most: int = LOOKED_AT) -> list[int]:
    """All frames of a short scan; of a longer one some, evenly spread."""
    if count <= most:
        return list(range(count))
    return sorted({int((n + 0.5) * count / most) for n in range(most)})


def key_frames(similarities: Mapping[int, float], count: int) -> list[int]:
    """The best frame, and others nearly as good that lie an eighth of the scan apart."""
    ordered = sorted(similarities, key=lambda n: -similarities[n])
    kept = ordered[:1]
    for number in ordered[1:]:
        good = similarities[number] >= NEARLY * similarities[ordered[0]]
        if good and all(abs(number - other) >= count / 8 for other in kept):
            kept.append(number)
    return kept


def _outlined(
    scan: Scan,
    empty: Segmentation,
    matches: Mapping[int, Mapping[str, Match]],
    keys: Mapping[str, Sequence[int]],
    predictor: FramePredictor | None,
) -> Segmentation:
    if len(scan) == 1 or predictor is None:
        out = empty
        for name, numbers in keys.items():
            masks = {n: Rle.encode(matches[n][name].mask) for n in numbers}
            out = out.with_masks(name, dict(masks), {n: matches[n][name].similarity for n in numbers})
        return out
    session = Session(scan, predictor)
    for name, numbers in keys.items():
        session.add_object(name, empty[name].color, empty[name].label)
        session.prompt_all([MaskPrompt.from_array(matches[n][name].mask, frame=n) for n in numbers], name)
    if keys:
        session.propagate(())
    missing = [one for one in empty.objects if one.name not in keys]
    return replace(session.segmentation, objects=(*session.segmentation.objects, *missing))
