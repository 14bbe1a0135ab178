"""A local Kubernetes cluster for developers and tests; nothing here runs in production."""
