"""Container `fetcher`: runs the engines on hostile input. Holds no credential and no bus."""
