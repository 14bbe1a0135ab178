"""Decisions of the operator, derived from what it knows. Pure: no I/O, no clock, no asyncio."""
