"""What the operator knows, in memory. No I/O."""
