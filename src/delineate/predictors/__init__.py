"""What answers prompts: one interface, numpy at its border."""
