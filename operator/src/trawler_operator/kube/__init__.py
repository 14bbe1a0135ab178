"""What the operator reads from the Kubernetes API."""
