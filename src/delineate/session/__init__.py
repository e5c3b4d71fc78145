"""A scan being annotated: prompts, objects, undo and replay, for any number of threads."""

from delineate.session.features import FeatureStore
from delineate.session.frame_result import FrameResult
from delineate.session.history import SessionLimits
from delineate.session.propagation import PropagatedFrame
from delineate.session.session import Session

__all__ = ["FeatureStore", "FrameResult", "PropagatedFrame", "Session", "SessionLimits"]
