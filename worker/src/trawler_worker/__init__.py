"""The two containers of a worker pod: `agent` talks, `fetcher` touches what is hostile."""
