"""A whole model as a `Network`: its layers, plans, budgets, measurements and compressed copies.

The rooms inside, lowest first: plans, tracing and surgery, latency, calibration, budget.
"""

from gdws_explorer.network.network import Network
from gdws_explorer.network.plans.plan import Plan
from gdws_explorer.network.surgery import densify

__all__ = ["Network", "Plan", "densify"]
