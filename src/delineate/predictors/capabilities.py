"""What a predictor can do, stated by itself: nobody has to look for its methods."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class PromptKind(StrEnum):
    """Kinds of prompts, named as in a prompt's ``type``."""

    POINT = "point"
    BOX = "box"
    SCRIBBLE = "scribble"
    LASSO = "lasso"
    MASK = "mask"
    TEXT = "text"
    EXAMPLE = "example"  # a session looks for it, with the predictor's features, and puts down what it found


VISUAL_PROMPTS = frozenset(PromptKind) - {PromptKind.TEXT, PromptKind.EXAMPLE}


class Scope(StrEnum):
    """What one call of a predictor outlines."""

    FRAME = "frame"  # prompted structures on one frame: FramePredictor
    VOLUME = "volume"  # prompted structures on all frames of a scan: VolumePredictor
    DENSE = "dense"  # all structures of its classes on all frames, without a prompt: DensePredictor


class Propagation(StrEnum):
    """How a structure is followed to the next frame."""

    CHAIN = "chain"  # its last outline is the prompt there
    MEMORY = "memory"  # earlier frames are remembered
    WORDS = "words"  # its name is the prompt on every frame


class NetworkKind(StrEnum):
    """The family of a torch network whose predictor lets it be trained and exported."""

    QUILL = "quill"
    SAM = "sam"
    SAM2 = "sam2"
    SAM_TEXT = "sam-text"
    CLASSES = "classes"  # names what it sees, without a prompt
    SLICES = "slices"  # prompted, clips of slices together
    FEATURES = "features"  # an encoder whose features are compared, and nothing behind it


@dataclass(frozen=True)
class AutomaticDefaults:
    """What automatic mask generation keeps, unless a person says otherwise.

    pred_iou_thresh  least predicted IoU of an outline
    tidies_logits    small regions are removed from its low-resolution logits, not from outlines on the picture
    """

    pred_iou_thresh: float
    tidies_logits: bool = False


SAM_AUTOMATIC = AutomaticDefaults(pred_iou_thresh=0.88)
SAM2_AUTOMATIC = AutomaticDefaults(pred_iou_thresh=0.8, tidies_logits=True)


@dataclass(frozen=True)
class Capabilities:
    """What a predictor can do.

    prompts       the kinds of prompts it answers; an outline that a person drew is taken as it is by every session
    scope         what one call outlines
    follows       how it goes from frame to frame; None where one call outlines all frames
    chain_options whether it takes ChainOptions where it is followed: a ChainingPredictor
    multimask     whether it offers several outlines for an ambiguous click
    one_by_one    whether prompts given together are answered better one after the other, each correcting the answer to
                  those before, than as one query
    resets        whether the second direction a structure is followed in starts anew, where nobody chose
    automatic     defaults of automatic mask generation, for an AutomaticPredictor; None for others
    remembers     whether an answer depends on the frames that were answered before, of whatever scan
    takes_window  whether an intensity window that a person chose changes what it sees
    network       the network that can be trained or exported; None where there is none
    """

    prompts: frozenset[PromptKind]
    scope: Scope = Scope.FRAME
    follows: Propagation | None = Propagation.CHAIN
    chain_options: bool = False
    multimask: bool = False
    one_by_one: bool = False
    resets: bool = True
    automatic: AutomaticDefaults | None = None
    remembers: bool = False
    takes_window: bool = True
    network: NetworkKind | None = None

    def __post_init__(self) -> None:
        if (self.follows is None) != (self.scope is not Scope.FRAME):
            raise ValueError("predictors of single frames follow structures, and no others do")
