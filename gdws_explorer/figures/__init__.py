"""Figures: `info(...)` gives the arrays, `figure(info)` the plotly figure made of them."""
