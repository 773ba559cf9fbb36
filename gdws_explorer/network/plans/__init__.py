"""Layers, the choices for them, their costs, and plans: values only."""
