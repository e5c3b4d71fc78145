"""Networks as plain torch modules: no disk, no device choice, no printing."""
