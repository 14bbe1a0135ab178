"""PostgreSQL storage for everything that must outlive the process."""
