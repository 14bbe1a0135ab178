"""PostgreSQL: what has to outlive the process."""
