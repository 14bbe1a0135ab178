"""An emulator of Discord: its REST API, its gateway and the actions of users, over real sockets.

Written from Discord's documentation and its OpenAPI description. It refuses what Discord refuses,
because our design relies on those errors.
"""
