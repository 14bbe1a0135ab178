"""What a file is, by its own bytes, and the programs and libraries that read it."""
