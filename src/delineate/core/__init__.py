"""What every part stands on: grid, scan, frame, prompts, segmentation, manifest, errors. Free of torch."""
