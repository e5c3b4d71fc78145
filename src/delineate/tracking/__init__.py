"""Following structures from frame to frame: through a video as it arrives, or through the slices of a volume."""

from delineate.tracking.chain import ChainTracker, Step
from delineate.tracking.guards import Drift, GuardSettings
from delineate.tracking.propagate import Direction, Followed, propagate

__all__ = ["ChainTracker", "Direction", "Drift", "Followed", "GuardSettings", "Step", "propagate"]
