"""Many plans: what was measured of them, and which of them nothing else beats."""
