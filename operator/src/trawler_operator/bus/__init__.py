"""What worker pods say, and what they are answered."""
