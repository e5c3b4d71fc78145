"""Made-up scans with known truth, for the demo, the bench and tests."""
