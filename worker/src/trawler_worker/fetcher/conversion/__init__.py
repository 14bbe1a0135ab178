"""Converts downloaded media into files that play where they are shown."""
