"""Structures shown on a few labeled scans, outlined on others: pictures, volumes and videos."""
