"""Labels that are there already: opened with their names from any file, combined, compared; chambers of hearts."""
