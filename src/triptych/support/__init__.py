"""What is kept of each class's photos."""
