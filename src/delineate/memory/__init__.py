"""Memory of earlier frames: what is kept of each object, and which of it is looked at."""
