"""What all services share at run time. Knows neither Discord nor Kubernetes."""
