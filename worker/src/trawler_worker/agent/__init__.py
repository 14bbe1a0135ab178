"""The `worker` container: handles orders, presence, upload grants, uploads and results. It never
connects to a site.
"""
