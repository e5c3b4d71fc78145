"""Training of Quill: from nothing, from the model that ships, and on a person's own labels."""
