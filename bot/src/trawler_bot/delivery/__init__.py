"""Delivery of a job to Discord: one writer edits its message, from the progress to the files."""
