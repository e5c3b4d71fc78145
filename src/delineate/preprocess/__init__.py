"""What is done to pixels before a model sees them: windows, zoom, prompt maps."""
