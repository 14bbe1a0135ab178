"""A Discord in a box: REST, gateway and what people do, over real sockets.

Written from Discord's documentation and its OpenAPI description; it refuses what Discord refuses,
because our design rests on those refusals.
"""
