"""One layer's weights, and every approximation of it, as tables."""
