"""The systems of the field, one file each: what each is, how it is built, what it reported."""

from delineate.systems.registry import SYSTEMS, System, build, shipped_predictor

__all__ = ["SYSTEMS", "System", "build", "shipped_predictor"]
