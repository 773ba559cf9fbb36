"""What images show of a network: moments, margins, α, and the refit."""
