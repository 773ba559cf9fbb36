"""What leaves the explorer: a folder that says what it is and loads again."""
