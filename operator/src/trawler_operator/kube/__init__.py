"""The Kubernetes API: what is read from it, and the Lease."""
