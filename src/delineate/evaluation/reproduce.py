"""Published evaluations as they are run here: the protocol, the system, the data, the figure that was reported.

Only figures read in the paper, its abstract or its repository are given; where none could be read, that is said.
Data is never fetched: every set has its own terms.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from delineate.checkpoints.store import cached_path
from delineate.core.errors import InputError
from delineate.evaluation.predictors import SHIPPED
from delineate.evaluation.protocols import PROTOCOLS, protocol_named
from delineate.systems.registry import SYSTEMS


@dataclass(frozen=True)
class Reported:
    """One published figure: what it is, the value as printed, and where it stands."""

    what: str
    value: str
    source: str


@dataclass(frozen=True)
class Reproduction:
    """One published evaluation.

    protocol   and ``variants``, the same with the choices that paper and code make differently
    systems    measured with it, the paper's own first
    data       which sets, and the layouts they are read in (docs/reference/datasets.md)
    reported   what the authors print
    differs    what is not as there, so that nobody compares numbers that mean something else
    variant    of the systems, where the evaluation does a thing otherwise than the system's predictor
    """

    name: str
    protocol: str
    systems: tuple[str, ...]
    data: str
    reported: tuple[Reported, ...] = ()
    variants: tuple[str, ...] = ()
    differs: str = ""
    variant: str = ""

    def needed(self) -> list[str]:
        """Which of its systems have no weights on this machine."""
        return [system for system in self.systems if _missing(system)]

    def lines(self, data: Path | None) -> list[str]:
        """The card a person reads before running it."""
        missing = self.needed()
        weights = [f"{s} ({'missing' if s in missing else 'here'})" for s in self.systems]
        figures = [f"{one.what}: {one.value} ({one.source})" for one in self.reported]
        lines = [
            f"protocol  {self.protocol}: {protocol_named(self.protocol).about}",
            *([f"variants  {', '.join(self.variants)}"] if self.variants else []),
            f"weights   {', '.join(weights)}",
            *(f"          {_fetch(file)}" for file in dict.fromkeys(one for s in missing for one in _missing(s))),
            f"data      {self.data}",
            f"          {f'at {data}' if data else 'missing: name its folder with --data'}",
            *(f"reported  {figure}" for figure in figures or ["no figure could be read in the paper or its code"]),
        ]
        return [*lines, f"differs   {self.differs}"] if self.differs else lines

    def card(self, data: Path | None) -> tuple[str, ...]:
        """The same for a report."""
        return tuple(line for line in self.lines(data) if not line.startswith(" "))

    def as_json(self, data: Path | None) -> dict[str, Any]:
        """The same for programs."""
        return {
            "name": self.name,
            "protocol": self.protocol,
            "variants": list(self.variants),
            "systems": {system: system not in self.needed() for system in self.systems},
            "data": self.data,
            "data_at": str(data) if data else None,
            "reported": [asdict(one) for one in self.reported],
            "differs": self.differs,
        }


def reproduction_named(name: str) -> Reproduction:
    """A published evaluation by name, or a protocol with the model that ships.

    Raises InputError naming those there are.
    """
    if name in REPRODUCTIONS:
        return REPRODUCTIONS[name]
    for one in REPRODUCTIONS.values():
        if name == one.protocol or name in one.variants:
            others = (variant for variant in (one.protocol, *one.variants) if variant != name)
            return replace(one, protocol=name, variants=tuple(others))
    if name in PROTOCOLS:
        return Reproduction(name, name, (SHIPPED,), "any labeled scans that suit the protocol")
    raise InputError(
        "E-REPRODUCE", f'There is no evaluation "{name}".', f"Choose from {', '.join(REPRODUCTIONS)}, or a protocol."
    )


def _missing(system: str) -> list[str]:
    """The systems whose files it needs, that are not on this machine."""
    files = SYSTEMS[system].built_from or (system,)
    return [file for file in files if SYSTEMS[file].weights is None and cached_path(file) is None]


def _fetch(system: str) -> str:
    about = SYSTEMS[system]
    if about.download is not None:
        return f"fetch: delineate models pull {system}"
    return f"the authors publish {system}'s file elsewhere: delineate models import FILE --system {system}"


_README = "repository README"
_ABSTRACT = "abstract"
_QUOTED = "as quoted by others; the paper's own table could not be read"
_BTCV = "BTCV: delineate dataset prepare btcv DIR --size 672; organs 1, 2, 3, 6"
_CHAOS = "CHAOS, T2-SPIR: delineate dataset prepare chaos DIR --size 672"
_KIDNEYS = "the released code means Dice over slices (the last columns), others over volumes; intensities scan by scan"
_EIGHTEEN = "paper; averages over sets"
REPRODUCTIONS: Mapping[str, Reproduction] = {
    one.name: one
    for one in (
        Reproduction(
            "medsam",
            "medsam-box-shift",
            ("medsam", "sam_vit_b"),
            "internal and external test sets of MedSAM, as npz (MedSAM npz) or nnU-Net raw",
            (
                Reported("mean Dice above SAM's, 21 3D tasks", "+22.5 points", f"first preprint, {_ABSTRACT}"),
                Reported("mean Dice above SAM's, 9 2D tasks", "+17.6 points", f"first preprint, {_ABSTRACT}"),
            ),
            ("medsam-box", "medsam-box-released"),
            "the authors window and resize slices beforehand; here the system does it when it reads them",
        ),
        Reproduction(
            "sam-med2d",
            "medsam-box",
            ("sam_med2d",),
            "SA-Med2D test split (label2image_test.json), as SA-Med2D or images and masks",
            (
                Reported("Dice, box", "79.30", _README),
                Reported("Dice, 1, 3, 5 points", "70.01, 76.35, 78.68", _README),
                Reported("Dice, box, SAM at 1024", "74.49", _README),
            ),
            ("clicks-random",),
            "points of clicks-random are measured as IoU after each click; the README prints Dice",
            "scripts",
        ),
        Reproduction(
            "sam2-18",
            "sam2-18",
            ("sam2_large",),
            "18 public sets of MRI, CT, PET, X-ray and ultrasound (arXiv 2408.00756), as nnU-Net raw or npz",
            (
                Reported("IoU, one point on one slice", "about 0.32", _EIGHTEEN),
                Reported("IoU, mask on one slice", "about 0.51", _EIGHTEEN),
            ),
            tuple(name for name in PROTOCOLS if name.startswith("sam2-18-")),
            "forwards: slices before the one prompted are not outlined and count 0; the released code starts at the "
            "first slice",
        ),
        Reproduction(
            "medsam2-bench",
            "medsam2-bench",
            ("sam2_tiny", "medsam2_benchmark"),
            "CT, MR, PET volumes and 2D sets of the benchmark; FLARE22 for the fine-tuned file (MedSAM npz)",
            (),
            ("medsam2-bench-2d",),
        ),
        Reproduction(
            "medsam2-bench-video",
            "medsam2-bench-video",
            ("sam2_tiny",),
            "SUN-SEG (endoscopy) and CAMUS (ultrasound), as VOS, CAMUS or a folder of frames and masks",
            (Reported("Dice, SAM 2 tiny, SUN-SEG", "0.8263", "table 4, quoted in MedSAM issue 368"),),
            ("medsam2-bench-video-released",),
        ),
        Reproduction(
            "laptop",
            "laptop-box",
            ("lite_medsam",),
            "validation files of the CVPR 2024 laptop challenge (MedSAM npz)",
            (
                Reported(
                    "Dice / NSD, DAFT (the validation's best)", "88.07 / 89.16", "as its authors print it, validation"
                ),
                Reported("Dice / NSD, MedficientSAM L1", "86.42 / 87.95", f"{_README}, validation"),
            ),
            (),
            "reported are the challenge's winners, not LiteMedSAM; theirs is a mean over cases, ours over structures",
        ),
        Reproduction(
            "biosam2-frames",
            "biosam2-frames",
            ("biosam2",),
            "single images of eight modalities, such as BUSI",
            (),
            ("biosam2-frames-click", "biosam2-frames-clicks"),
            "the released validation cuts raw logits at 0.5, here they are cut at 0",
        ),
        Reproduction(
            "biosam2-volume",
            "biosam2-volume-mask",
            ("biosam2",),
            "volumes and video of the paper, as nnU-Net raw, npz or VOS",
            (),
            ("biosam2-volume", "biosam2-volume-click", "biosam2-volume-clicks"),
        ),
        Reproduction(
            "surgical-sam2",
            "surgical-vos",
            ("surgical_sam2", "sam2.1_small"),
            "EndoVis 2017 and 2018 instruments, split as ISINet, as VOS or EndoVis folders",
            (Reported("frames a second", "86, three times SAM 2's", _README),),
            ("surgical-vos-released", "surgical-vos-box"),
            "tables of the paper could not be read, so no J&F is given",
        ),
        Reproduction(
            "surgical-tools",
            "surgical-vos-box",
            ("sam2_large",),
            "EndoNeRF, EndoVis 2017 sequences 1 and 3, SurgToolLoc 2022 (arXiv 2408.01648)",
            (Reported("what was found", "new tools need new prompts; blur, blood, smoke hurt", _ABSTRACT),),
            ("surgical-robust", "surgical-vos-box-every-30"),
            "the study is qualitative, its points were placed by hand",
        ),
        Reproduction(
            "protosam-ct",
            "one-shot-volume",
            ("protosam", "protosam_sam_b", "protosam_medsam"),
            _BTCV,
            (Reported("Dice, left kidney", "71.31", _QUOTED),),
            ("one-shot-volume-1",),
            _KIDNEYS,
        ),
        Reproduction(
            "protosam-mri",
            "one-shot-volume",
            ("protosam", "protosam_sam_b", "protosam_medsam"),
            _CHAOS,
            (Reported("Dice, left kidney", "82.75", _QUOTED),),
            ("one-shot-volume-1",),
            _KIDNEYS,
        ),
        Reproduction(
            "protosam-polyps",
            "one-shot-image",
            ("protosam", "protosam_sam_b", "protosam_medsam"),
            "PraNet's bundle without CVC-300: delineate dataset prepare polyps DIR --without CVC-300",
            (
                Reported("Dice, Kvasir", "81.54", _QUOTED),
                Reported("Dice, CVC-ClinicDB", "76.83", _QUOTED),
                Reported("Dice, CVC-ColonDB", "63.45", _QUOTED),
            ),
            (),
            "the authors draw the support without a seed; here --seed decides, so repeat it with several",
        ),
        Reproduction(
            "alpnet-mri",
            "one-shot-volume",
            ("alpnet", "dinov2_ssl"),
            _CHAOS,
            (),
            (),
            "settings 1 and 2 differ in what was trained on, not in this evaluation",
        ),
        Reproduction(
            "alpnet-ct",
            "one-shot-volume",
            ("alpnet", "dinov2_ssl"),
            _BTCV,
            (),
            (),
            "settings 1 and 2 differ in what was trained on, not in this evaluation",
        ),
    )
}
