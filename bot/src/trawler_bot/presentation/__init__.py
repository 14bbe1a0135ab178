"""Every sentence and its shape, in each language."""
