"""Small parts of the views."""

import ipywidgets as w
import pytest

from gdws_explorer.widgets.form import set_value, silent


class View:
    def __init__(self):
        self.seen = []
        self.inputs = [w.IntText(1), w.Dropdown(options=[1, 2, 3])]
        for widget in self.inputs:
            widget.observe(self.changed, "value")

    def changed(self, change):
        self.seen.append(change["new"])


def test_silent_leaves_out_the_reaction_and_nothing_else():
    view = View()
    others = []
    view.inputs[1].observe(lambda change: others.append(change["new"]), "index")
    with silent(view.changed, *view.inputs):
        for widget in view.inputs:
            widget.value = 3
    assert view.seen == []
    assert others == [2], "what ipywidgets keeps in step is kept in step"
    view.inputs[0].value = 5
    assert view.seen == [5]


def test_set_value_reacts_again_afterwards_even_if_the_value_was_refused():
    view = View()
    set_value(view.inputs[0], 4, view.changed)
    assert (view.inputs[0].value, view.seen) == (4, [])
    with pytest.raises(Exception, match="Invalid"):
        set_value(view.inputs[1], 99, view.changed)
    view.inputs[1].value = 2
    assert view.seen == [2]
