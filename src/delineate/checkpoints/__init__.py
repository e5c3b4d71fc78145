"""Published checkpoint files: read safely, recognised by their keys, brought to the host's names."""
