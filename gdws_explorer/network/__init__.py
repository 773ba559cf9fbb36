"""A whole model: layers, costs, plans, budgets and compressed copies."""
