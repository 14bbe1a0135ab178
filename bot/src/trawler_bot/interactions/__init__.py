"""Handlers for what people do: commands, buttons, menus and links in messages, and the replies."""
