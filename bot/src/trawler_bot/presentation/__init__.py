"""Everything that people read, in each language: texts, messages, buttons and menus."""
