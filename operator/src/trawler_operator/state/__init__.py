"""The operator's in-memory state. No I/O."""
