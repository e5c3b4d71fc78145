"""Published checkpoint files: read safely, recognized by their keys, brought to the host's names."""
