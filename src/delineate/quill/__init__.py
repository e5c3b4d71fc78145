"""Quill, the small promptable model that ships inside the package: predictor, data engine, training."""
