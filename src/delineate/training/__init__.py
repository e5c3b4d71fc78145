"""Training: data engines, prompt simulation, losses, loops. Needs the ``train`` extra (torch)."""
