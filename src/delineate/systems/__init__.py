"""The systems of the field, one file each: what each is, how it is built, what it reported."""

from delineate.systems.registry import SYSTEMS, build, shipped_predictor
from delineate.systems.system import BuildOptions, System

__all__ = ["SYSTEMS", "BuildOptions", "System", "build", "shipped_predictor"]
