"""What the explorer can open below its desk, one file each; made when it is first opened."""
