"""The ways to fetch: each engine behind one Protocol (`base`), tried in turn (`routing`)."""
