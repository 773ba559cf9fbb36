"""Plans that meet a budget: tables of the layers' choices, and the best combination of them.

A `BudgetRequest` goes to the `Planner`, which answers with a `BudgetSolution`.
"""

from gdws_explorer.network.budget.allocation import Allocator, ParetoTable
from gdws_explorer.network.budget.planner import Planner
from gdws_explorer.network.budget.request import BudgetRequest
from gdws_explorer.network.budget.solver import BudgetSolution

__all__ = ["Allocator", "BudgetRequest", "BudgetSolution", "ParetoTable", "Planner"]
