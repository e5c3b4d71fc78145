"""What outlines are written as: one file a format. ``io.saving`` chooses by the name of the output."""
