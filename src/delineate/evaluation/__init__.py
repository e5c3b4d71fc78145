"""How good the outlines are: metrics, protocols, baselines, and the tables made of them."""
