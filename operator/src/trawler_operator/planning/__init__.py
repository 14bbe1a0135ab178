"""What follows from what the operator knows. Pure: no I/O, no clock, no asyncio."""
