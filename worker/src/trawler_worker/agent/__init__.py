"""Container `worker`: orders, presence, grants, uploads and results. Never touches a site."""
