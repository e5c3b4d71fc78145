"""What runs the models: one interface, numpy at its border."""
