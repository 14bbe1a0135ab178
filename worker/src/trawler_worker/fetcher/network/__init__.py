"""HTTP over a hostile internet: the client, and the checks of what it sends and receives."""
