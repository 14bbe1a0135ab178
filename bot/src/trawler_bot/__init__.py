"""The Discord bot: everything that a person in Discord sees."""
