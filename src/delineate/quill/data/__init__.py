"""Training data of Quill: synthetic and real scenes, simulated prompts, batches."""
