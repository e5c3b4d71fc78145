"""Following structures from frame to frame: through a video as it arrives, or through the slices of a volume."""

from delineate.tracking.chain import ChainTracker
from delineate.tracking.guards import GuardSettings
from delineate.tracking.propagate import Direction, Followed, propagate
from delineate.tracking.tracker import Drift, Step, Tracker
from delineate.tracking.trackers import tracker_for

__all__ = [
    "ChainTracker",
    "Direction",
    "Drift",
    "Followed",
    "GuardSettings",
    "Step",
    "Tracker",
    "propagate",
    "tracker_for",
]
