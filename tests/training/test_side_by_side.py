"""A training and a measurement in two threads of one process."""

import threading

import torch

from gdws_explorer.robust import PGD, evaluate
from gdws_explorer.training import Recipe, fit


def test_a_training_and_a_measurement_side_by_side_are_as_alone(net, data):
    """Neither takes the other's random numbers, nor keeps it waiting for ever."""
    recipe = Recipe("pgd", eps=0.1, steps=2, epochs=2, lr=0.05, batch_size=8, seed=1)
    attack = PGD(0.1, 2)

    def measured():
        return evaluate(net, data, attack, batch_size=4, seed=5)

    alone_weights, alone = fit(net, data, recipe).model.state_dict(), measured()
    found = []
    thread = threading.Thread(target=lambda: found.append(fit(net, data, recipe)))
    thread.start()
    reports = [measured()]
    while thread.is_alive():
        reports.append(measured())
    thread.join(60)
    for name, values in found[0].model.state_dict().items():
        assert torch.equal(values, alone_weights[name]), name
    for report in reports:
        assert (report.robust_mask == alone.robust_mask).all()
