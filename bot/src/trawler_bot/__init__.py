"""The bot: everything that a person in Discord sees."""
