"""Outlines of everything on a picture, without a prompt."""

from delineate.automatic.generate import AutomaticMask, AutomaticSettings, generate_masks

__all__ = ["AutomaticMask", "AutomaticSettings", "generate_masks"]
