"""What a person can ask for, each once: a typed request, and the function that answers it. Apps are made of these."""
