"""One labeled example is enough: features, prototypes, and the prompts that follow from a coarse mask. numpy only."""
