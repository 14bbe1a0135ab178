"""The outside world in a box, for tests and the demo. Never runs in production."""
