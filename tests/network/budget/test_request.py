import pytest

import gdws_explorer as gx
from gdws_explorer.errors import BudgetError
from gdws_explorer.network.budget.request import BUDGETS, BudgetRequest, check_fraction
from gdws_explorer.network.plans.families import FAMILIES


@pytest.mark.parametrize("measure", BUDGETS)
def test_one_amount_makes_a_request(measure):
    request = BudgetRequest.of({**dict.fromkeys(BUDGETS), measure: 0.4})
    assert (request.measure, request.amount) == (measure, 0.4)
    assert request.families == tuple(FAMILIES)
    assert request.skip is request.fixed is request.weights is None
    assert request.exact


def test_families_are_names_or_classes():
    mixed = [gx.SVD, "gdws", "spatial_svd", gx.SpatialSVD, "spatial"]
    assert BudgetRequest.of({"macs": 1}, mixed).families == ("svd", "gdws", "spatial")
    for wrong in ("gdws", ["cp"], [gx.Dense], ["dense"], 3, [3]):
        with pytest.raises(BudgetError, match=r"families is|unknown family"):
            BudgetRequest.of({"macs": 1}, wrong)


@pytest.mark.parametrize("amounts", [{}, {"macs": None}, {"macs": 0.4, "ms": 2}])
def test_not_one_amount(amounts):
    with pytest.raises(BudgetError, match="exactly one"):
        BudgetRequest.of(amounts)


@pytest.mark.parametrize("amount", [0, -1, 1.01, float("nan"), "0.4", True + 1])
def test_fractions_outside_of_their_range(amount):
    with pytest.raises(BudgetError, match="fraction of the dense one"):
        BudgetRequest.of({"macs": amount})
    with pytest.raises(BudgetError, match="my share is"):
        check_fraction("my share", amount)


@pytest.mark.parametrize("amount", [0, -1, float("inf"), float("nan"), "3"])
def test_milliseconds_outside_of_their_range(amount):
    with pytest.raises(BudgetError, match="more than 0"):
        BudgetRequest.of({"ms": amount})
