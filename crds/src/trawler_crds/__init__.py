"""The contracts of Trawler: everything two processes must agree on, and nothing else.

Resources live in `media_job`, `worker_pool` and `media_queue`; what is said on the bus in
`messages`; names in `subjects` and `keys`; why a job failed in `failures`.
"""

API_GROUP = "trawler.dev"
API_VERSION = "v1alpha1"
"""Group and version of every resource of ours."""
