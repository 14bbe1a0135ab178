"""The two containers of a worker pod: `agent` communicates, `fetcher` handles hostile input."""
