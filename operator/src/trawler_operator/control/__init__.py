"""What turns decisions into effects."""
