"""Outlines of everything on a picture, without being pointed at anything."""

from delineate.automatic.generate import EverythingSettings, Found, everything

__all__ = ["EverythingSettings", "Found", "everything"]
