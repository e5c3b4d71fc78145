"""Which pictures of a series make up a volume: echoes, phases, b-values that share places are distinguished."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from delineate.io.readers.dicom_slices import Slice

SAME_PLACE = 0.01  # mm
SAME_DIRECTION = 0.01  # of a direction's components

Key = tuple[str, ...]


@dataclass(frozen=True)
class Attribute:
    """What volumes at one place may differ in.

    name     as shown to people
    tags     the first that is there tells
    ordered  whether its values may differ a little from place to place, so that their order tells
    """

    name: str
    tags: tuple[str, ...]
    ordered: bool = False

    def of(self, one: Slice) -> Key:
        return next((words for tag in self.tags if (words := one.tags.words(tag))), ())


ATTRIBUTES = (
    Attribute("echo", ("EchoNumbers",)),
    Attribute("echo time", ("EffectiveEchoTime", "EchoTime")),
    Attribute("b-value", ("DiffusionBValue",)),
    Attribute("diffusion", ("DiffusionDirectionality",)),
    Attribute("image type", ("FrameType", "ImageType")),
    Attribute("component", ("ComplexImageComponent",)),
    Attribute("time point", ("TemporalPositionIndex", "TemporalPositionIdentifier")),
    Attribute("trigger time", ("NominalCardiacTriggerDelayTime", "TriggerTime"), ordered=True),
    Attribute("acquisition", ("FrameAcquisitionNumber", "AcquisitionNumber")),
    Attribute("contrast", ("ContrastBolusAgent",)),
    Attribute("inversion time", ("InversionTimes", "InversionTime")),
    Attribute("kernel", ("ConvolutionKernel",)),
    Attribute("peak voltage", ("KVP",)),
    Attribute("stack", ("StackID",)),
    Attribute("frame time", ("FrameReferenceTime",), ordered=True),
    Attribute("acquisition time", ("AcquisitionDateTime", "AcquisitionTime"), ordered=True),
    Attribute("content time", ("ContentTime",), ordered=True),
    Attribute("pass", ("InstanceNumber",), ordered=True),
)
PRIVATE = ("contrast",)  # told by number: what such tags hold is typed in by people


@dataclass(frozen=True, eq=False)
class Volume:
    """Slices that may be stacked, and what sets them apart from others of their series, "" where nothing does."""

    slices: list[Slice]
    about: tuple[str, ...] = field(default=())

    @property
    def label(self) -> str:
        return ", ".join(self.about)


def volumes_of(slices: Sequence[Slice]) -> list[Volume]:
    """The volumes of a series whose slices all say where they lie.

    Slices of other sizes or directions are never one volume. Where several share a place, the first attributes that
    tell them apart do so; slices no attribute tells apart stay together, for the stack to compare.
    """
    parts = _by_plane(slices)
    several = len(parts) > 1
    return [volume for about, part in parts for volume in _split(Volume(part, about if several else ()))]


def _by_plane(slices: Sequence[Slice]) -> list[tuple[Key, list[Slice]]]:
    groups: list[list[Slice]] = []
    for one in slices:
        fitting = next((g for g in groups if _aligned(g[0], one)), None)
        if fitting is None:
            groups.append(fitting := [])
        fitting.append(one)
    sizes = {one.size for one in slices}
    labels = []
    for group in groups:
        size = (f"{group[0].size[0]} x {group[0].size[1]}",) if len(sizes) > 1 else ()
        labels.append((_plane_name(group[0]), *size))
    return list(zip(labels, groups, strict=True))


def _aligned(first: Slice, other: Slice) -> bool:
    a, b = first.plane, other.plane
    assert a is not None and b is not None
    apart = max(np.abs(a.row - b.row).max(), np.abs(a.column - b.column).max())
    return bool(apart < SAME_DIRECTION) and first.size == other.size


def _plane_name(one: Slice) -> str:
    assert one.plane is not None
    along = np.abs(one.plane.normal)
    return ("sagittal", "coronal", "axial")[int(along.argmax())] if along.max() > 0.8 else "oblique"


def _split(volume: Volume) -> list[Volume]:
    places = _shared_places(volume.slices)
    if not places:
        return [volume]
    for name, key in _keys(volume.slices):
        groups: dict[Key, list[Slice]] = defaultdict(list)
        for one in volume.slices:
            groups[key(one)].append(one)
        apart = any(len({key(one) for one in place}) > 1 for place in places)
        if apart and len(groups) <= max(map(len, places)):
            labels = _labels(name, sorted(groups, key=_in_order))
            return [
                part
                for group, label in labels.items()
                for part in _split(Volume(groups[group], (*volume.about, label)))
            ]
    return [volume]


def _shared_places(slices: Sequence[Slice]) -> list[list[Slice]]:
    """Slices that lie at one place, where there are several."""
    places: list[list[Slice]] = []
    last = -np.inf
    for one in sorted(slices, key=lambda s: s.plane.height if s.plane else 0.0):
        height = one.plane.height if one.plane else 0.0
        if height - last < SAME_PLACE:
            places[-1].append(one)
        else:
            places.append([one])
            last = height
    return [place for place in places if len(place) > 1]


def _keys(slices: Sequence[Slice]) -> list[tuple[str, Callable[[Slice], Key]]]:
    """All ways to tell slices apart, the most telling first."""
    keys: list[tuple[str, Callable[[Slice], Key]]] = []
    for name in sorted({name for one in slices for name in one.vectors}):
        keys.append((name.lower(), lambda one, name=name: (str(one.vectors.get(name, "")),)))  # type: ignore[misc]
    for attribute in ATTRIBUTES:
        keys.append((attribute.name, attribute.of))
        if attribute.ordered and _evenly_shared(slices):
            keys.append((attribute.name, _ranks(slices, attribute)))
    widest = max((len(one.tags.words("DimensionIndexValues")) for one in slices), default=0)
    for n in range(widest):
        keys.append((f"dimension {n + 1}", lambda one, n=n: one.tags.words("DimensionIndexValues")[n : n + 1]))  # type: ignore[misc]
    return keys


def _evenly_shared(slices: Sequence[Slice]) -> bool:
    """Whether all places have as many slices."""
    places = _shared_places(slices)
    return len({len(place) for place in places}) == 1 and sum(map(len, places)) == len(slices)


def _ranks(slices: Sequence[Slice], attribute: Attribute) -> Callable[[Slice], Key]:
    """The order of a slice's value among those at its place: phase 1, 2, ..."""
    ranks: dict[int, Key] = {}
    for place in _shared_places(slices):
        values = sorted({attribute.of(one) for one in place}, key=_in_order)
        ranks |= {id(one): (str(values.index(attribute.of(one)) + 1),) for one in place}
    return lambda one: ranks.get(id(one), ("1",))


def _in_order(key: Key) -> tuple[tuple[float, str], ...]:
    return tuple((_number(word), word) for word in key)


def _number(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        return 0.0


def _labels(name: str, keys: list[Key]) -> dict[Key, str]:
    """Of each group: the parts of its value that not all have."""
    if name in PRIVATE:
        return {key: f"{name} {n}" for n, key in enumerate(keys, 1)}
    common = set.intersection(*(set(key) for key in keys)) if len(keys) > 1 else set()
    return {key: f"{name} {' '.join(word for word in key if word not in common)[:40] or '-'}" for key in keys}
