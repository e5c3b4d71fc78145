"""What the module does, without windows: a client of the server, geometry, prompts and masks; numpy alone."""
