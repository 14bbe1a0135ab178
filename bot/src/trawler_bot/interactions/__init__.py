"""What people do: commands, buttons, menus and links in messages, and what they are answered."""
