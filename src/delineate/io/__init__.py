"""Files: any in, the same grid out. One file a format; what a file holds decides, not what it is called."""
