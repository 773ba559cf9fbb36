"""Milliseconds of layers, measured and interpolated."""
