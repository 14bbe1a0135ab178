"""An emulation of the outside world (media sites, Cobalt, Discord) for tests and the demo. Never
runs in production.
"""
