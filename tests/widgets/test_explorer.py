"""The widgets without a browser: messages in, state out."""

import math
import sys

import ipywidgets as w
import pytest
import torch
from torch import nn

import gdws_explorer as gx
from gdws_explorer.robust.sequence import standard_sequence
from gdws_explorer.widgets.desk import HANDLERS
from gdws_explorer.widgets.panels.panel_bar import PanelBar


@pytest.fixture(scope="module")
def opened(bench):
    """With a few images to learn from: `source` reads all of them."""
    few = tuple(part[:60] for part in bench.train_data)
    explorer = gx.explore("digits", calibration=few)
    yield explorer
    explorer.close()


@pytest.fixture
def explorer(opened):
    opened.session.controls.reset()
    opened.session.controls.set_slider_meaning("macs")
    opened.session.controls.select("conv2")
    return opened


def send(explorer, kind, **message):
    explorer.desk.receive({"type": kind, "seq": 7, **message})
    return explorer.desk.state


def test_it_opens_on_a_front_that_is_not_empty(explorer):
    points = sum(len(trace.x) for trace in explorer.front_view.figure.data[:4])
    assert points >= 2 * 30
    assert [row["family"] for row in explorer.desk.state["rows"]] == ["dense"] * 7
    assert explorer.desk.left_alone == ""


def test_the_desk_agrees_with_the_summary(explorer):
    state = send(explorer, "network", by="macs", value=0.45, gesture="1:1")
    summary = explorer.network.summary(explorer.plan)
    assert state["seq"] == 7
    assert state["network"]["number"] == "45.0"
    for row, layer in zip(state["rows"], summary.layers.values(), strict=True):
        assert row["kept"] == layer.macs / layer.dense_macs
    macs = next(line for line in state["totals"] if line[0] == "MACs")
    assert macs[2] == f"{summary.macs / 1e6:.3g} M"


@pytest.mark.parametrize("kind", sorted(HANDLERS))
def test_every_message_is_answered_even_a_broken_one(explorer, kind, monkeypatch):
    answers, seq = [], 1000 + sorted(HANDLERS).index(kind)
    monkeypatch.setattr(type(explorer.desk), "send", lambda _desk, answer: answers.append(answer))
    state = send(
        explorer, kind, seq=seq, layer=3, values=[math.nan], texts=["ten"], text="ten",
        family="svd", value="none", by="weather", gesture="1", on=True, step=9e9,
    )  # fmt: skip
    assert state["seq"] == seq or answers == [{"type": "acknowledged", "seq": seq}]


def test_an_error_is_shown_in_place(explorer):
    send(explorer, "slide by", by="rank")
    send(explorer, "method", layer=3, family="gdws")
    send(explorer, "number", layer=3, texts=["100000"])
    assert "conv4: G is 100000" in explorer.message_line.value
    assert "Cannot do that" in explorer.message_line.value
    send(explorer, "number", layer=3, texts=["100"])
    assert explorer.message_line.value == ""
    assert explorer.plan["conv4"] == gx.GDWS(100)


def test_the_layer_figure_follows_method_and_selection(explorer):
    figure = explorer.layer_view.figure
    assert [i for i, t in enumerate(figure.data) if t.visible] == [0, 1]
    send(explorer, "select", layer=3)
    assert len(figure.data[0].z[0]) == 64
    send(explorer, "method", layer=3, family="tucker2")
    assert [i for i, t in enumerate(figure.data) if t.visible] == [2, 3]
    choice, ring = explorer.plan["conv4"], figure.layout.shapes[0]
    assert (ring.yanchor, ring.xanchor) == (choice.r_out, choice.r_in)
    send(explorer, "slide by", by="rank")
    send(explorer, "move", layer=3, values=[0.0, 1.0], gesture="1:2")
    assert explorer.plan["conv4"] == gx.Tucker2(1, 64)
    ring = figure.layout.shapes[0]
    assert (ring.yanchor, ring.xanchor, ring.xref) == (1, 64, "x3")


@pytest.mark.parametrize("one", ["svd", "spatial"])
def test_an_svd_is_shown_by_rank(explorer, one):
    figure = explorer.layer_view.figure
    send(explorer, "select", layer=3)
    send(explorer, "method", layer=3, family=one)
    assert [i for i, t in enumerate(figure.data) if t.visible] == [4, 5]
    send(explorer, "slide by", by="rank")
    send(explorer, "number", layer=3, texts=["17"])
    assert explorer.plan["conv4"].rank == 17
    layer = explorer.summary.layers["conv4"]
    error, macs = figure.layout.shapes
    assert error.xanchor == macs.xanchor == 17
    assert error.yanchor == pytest.approx(layer.error / layer.energy, abs=1e-4)
    assert macs.yanchor == pytest.approx(layer.macs / layer.dense_macs, abs=1e-3)


def test_a_linear_layer_has_a_strip(explorer):
    methods = explorer.desk.strips[6]["methods"]
    assert [one for one, _, why in methods if why is None] == ["dense", "svd"]
    send(explorer, "select", layer=6)
    send(explorer, "method", layer=6, family="svd")
    assert isinstance(explorer.plan["fc"], gx.SVD)
    assert explorer.session.controls.selected == "fc"


def test_kept_cells_are_lit(explorer):
    send(explorer, "slide by", by="rank")
    send(explorer, "method", layer=1, family="gdws")
    send(explorer, "number", layer=1, texts=["20"])
    figure = explorer.layer_view.figure
    veil, kernels = (shape.path for shape in figure.layout.shapes)
    cells = len(figure.data[0].z) * len(figure.data[0].z[0])
    assert cells - area(veil) == 20
    kept = explorer.network.counts("conv2", explorer.plan["conv2"])
    strongest = explorer.network.gdws("conv2").uniform.channel[:40]
    rank = [list(strongest[:i]).count(c) for i, c in enumerate(strongest)]
    assert kernels.count("M") == sum(r >= kept[c] for r, c in zip(rank, strongest, strict=True))


def area(path):
    """Of a polygon `M x,y L x,y … Z`."""
    points = [tuple(map(float, p.split(","))) for p in path.strip("MZ ").split(" L")]
    ends = zip(points, [*points[1:], points[0]], strict=True)
    return abs(sum(x * v - y * u for (x, y), (u, v) in ends)) / 2


def test_the_cursor_and_the_ghost_follow_the_plan(explorer):
    send(explorer, "network", by="macs", value=0.437, gesture="1:3")
    figure = explorer.front_view.figure
    assert figure.layout.shapes[0].x0 == explorer.summary.macs
    assert [ghost.xanchor for ghost in figure.layout.shapes[1:]] == [explorer.summary.macs] * 2
    explorer.session.show(explorer.session.measurements.records()[4].plan)
    assert len(figure.layout.shapes) == 1


def test_figures_keep_their_present_state_for_a_page_that_opens_later(explorer):
    send(explorer, "method", layer=1, family="tucker2")
    send(explorer, "select", layer=1)
    state = explorer.layer_view.figure.get_state()
    assert state["_widget_layout"]["shapes"][0]["xanchor"] == explorer.plan["conv2"].r_in
    assert state["_widget_layout"]["xaxis3"]["visible"] is True
    assert state["_config"]["showSendToCloud"] is False


def test_a_click_on_a_point_brings_its_plan_back(explorer):
    trace = explorer.front_view.figure.data[1]
    points = type("Points", (), {"point_inds": [2]})()
    explorer.front_view._clicked(1, points)
    record = explorer.front_view._infos[0].records[trace.customdata[2]]
    assert explorer.plan == record.plan


def test_evaluating_adds_the_point(explorer):
    explorer.session.measure_with(gx.FGSM(0.15), 20)
    send(explorer, "network", by="macs", value=0.3, gesture="1:4")
    explorer.evaluate_bar.attack.value = "FGSM"
    explorer.evaluate_bar.n.value = 20
    explorer.evaluate_bar.evaluate_button.click()
    explorer.session.jobs.wait(30)
    assert sum(len(t.x) for t in explorer.front_view.figure.data[:4]) == 2
    assert explorer.evaluate_bar.cancel_button.disabled
    explorer.evaluate_bar.eps.value = "eight"
    assert "expected a number such as 0.15 or 8/255" in explorer.message_line.value
    explorer.evaluate_bar.eps.value = "0.15"
    explorer.evaluate_bar.n.value = 100000
    assert "expected 1 to 360" in explorer.message_line.value


def test_at_most_two_figures(explorer):
    import plotly.graph_objects as go

    found, stack = 0, [explorer]
    while stack:
        widget = stack.pop()
        found += isinstance(widget, go.FigureWidget)
        stack.extend(getattr(widget, "children", ()))
    assert found == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("no-such-bench",), "digits, digits-plain"),
        ((42,), "the target is a int; expected a bench"),
        ((nn.Conv2d(1, 2, 3),), "give data="),
    ],
)
def test_what_cannot_be_opened_says_why(arguments, words):
    with pytest.raises(gx.ExplorerError, match=words):
        gx.explore(*arguments)


def test_images_outside_0_1_are_refused():
    with pytest.raises(gx.DataError, match=r"\[0, 1\]"):
        gx.explore(nn.Conv2d(1, 2, 3), data=(torch.rand(2, 1, 8, 8) * 255, torch.tensor([0, 1])))


def test_a_network_of_ones_own_opens_and_measures():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 6, 3, padding=1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3),
    )  # fmt: skip
    before = {k: v.clone() for k, v in model.state_dict().items()}
    data = (torch.rand(12, 1, 8, 8), torch.arange(12) % 3)
    explorer = gx.explore(model.train(), data=data, eps=8 / 255)
    explorer.session.controls.move_budget("macs", 0.6)
    explorer.session.evaluate()
    explorer.session.jobs.wait(30)
    (record,) = explorer.session.measurements.records()
    assert record.n == 12
    assert record.attack["eps"] == pytest.approx(8 / 255)
    assert model.training
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    explorer.close()


def test_the_switch_from_data(explorer):
    send(explorer, "network", by="macs", value=0.4, gesture="1:9")
    state = send(explorer, "source", value="data")
    assert state["network"]["reading"]
    explorer.session.jobs.wait(120)
    state = explorer.desk.state
    assert state["network"]["source"] == "data"
    assert not state["network"]["reading"]
    assert "of the outputs" in state["totals"][3][3]
    reasons = {one: why for one, _, why in explorer.desk.strips[1]["methods"]}
    assert "from data" in reasons["spatial"]
    assert reasons["gdws"] is None
    send(explorer, "select", layer=6)
    assert explorer.layer_view.figure.data[4].visible, "fc is shown as it is by its weights"
    send(explorer, "select", layer=1)
    assert "of the output)" in explorer.layer_view.caption.value
    state = send(explorer, "source", value="weights")
    assert state["network"]["source"] == "weights"
    assert all(why is None for _, _, why in explorer.desk.strips[1]["methods"])


def test_an_attack_that_the_inputs_cannot_say_stands_as_it_is():
    attack = gx.PGD(0.5, steps=3, step_size=0.2, norm="l2")
    explorer = gx.explore("digits", attack=attack)
    measuring, measured = explorer.evaluate_bar, explorer.session.measurements
    assert measuring.attack.label == "PGD-3 ℓ2 ε 0.5"
    measuring.n.value = 12
    assert measured.attack == attack
    measuring.attack.value = "FGSM"
    assert measured.attack == gx.FGSM(8 / 255), "ε of one norm says nothing about the other"
    measuring.attack.value = "given"
    assert measured.attack == attack
    explorer.close()


def test_the_inputs_follow_the_attack(fresh):
    measuring, measured = fresh.evaluate_bar, fresh.session.measurements
    measuring.attack.value = "Square"
    assert measured.attack == gx.Square(0.15, 1000)
    assert measuring.steps.description == "queries"
    measuring.restarts.value = 3
    assert measured.attack == gx.Square(0.15, 1000, restarts=3)
    measuring.norm.value = "l2"
    assert measured.attack == gx.Square(128 / 255, 1000, norm="l2", restarts=3)
    measuring.attack.value = "staged"
    assert measured.attack == standard_sequence(0.15), "the radius of the norm that it has"
    assert measuring.steps.layout.display == measuring.restarts.layout.display == "none"
    measuring.attack.value = "PGD"
    measuring.restarts.value = 1
    assert measured.attack == gx.PGD(0.15, 20)


def test_a_staged_attack_measures_and_comes_back_with_the_state(explorer, robust_of):
    attack = gx.Staged([gx.FGSM(0.15), gx.PGD(0.15, 3)])
    explorer.session.measure_with(attack, 30)
    explorer.session.evaluate()
    explorer.session.jobs.wait(60)
    (record,) = explorer.session.measurements.records()
    assert record.report.attack == attack
    assert record.report.robust_correct == robust_of(attack)
    again = gx.explore(state=explorer.state)
    assert again.session.measurements.attack == attack
    again.close()


def test_a_live_estimate_is_drawn_and_labelled(fresh):
    session, view = fresh.session, fresh.front_view
    session.measure_with(gx.FGSM(0.15), 60)
    send(fresh, "network", by="macs", value=0.3, gesture="1:1")
    assert view.estimate_note.value == ""
    fresh.front_controls._live.value = True
    session.jobs.wait(60)
    session.estimates.wait(60)
    found = session.snapshot.estimate
    assert "transfer, upper bound: robust at most" in view.estimate_note.value
    assert f"{found.robust:.1%}" in view.estimate_note.value
    labels = [shape.label.text for shape in view.figure.layout.shapes]
    assert any(f"at most {100 * found.robust:.0f} % (transfer)" in each for each in labels if each)
    send(fresh, "network", by="macs", value=0.1, gesture="1:2")
    session.estimates.wait(60)
    assert session.snapshot.estimate != found
    session.evaluate()
    session.jobs.wait(60)
    assert "no estimate is needed" in view.estimate_note.value
    fresh.front_controls._live.value = False
    assert view.estimate_note.value == ""


def test_no_estimate_without_an_attack(fresh):
    fresh.session.measure_with(None, 60)
    fresh.front_controls._live.value = True
    assert "no attack to estimate under" in fresh.message_line.value
    assert not fresh.front_controls._live.value


@pytest.fixture
def fresh():
    made = gx.explore("digits")
    yield made
    made.close()


@pytest.fixture
def robust_of():
    """How many of 30 images the dense digits network withstands an attack on."""
    bench = gx.load("digits")
    return lambda attack: gx.evaluate(bench.model, bench.data, attack, n=30).robust_correct


def test_panels_are_made_when_they_are_opened(explorer):
    made = []

    class Here:
        title, tip = "Here", "a panel"

        def __init__(self, session):
            made.append(session)
            self.heard = []
            self.box = w.HTML("here")

        def refresh(self, what):
            self.heard.append(what)

    class There(Here):
        title = "There"

    shelf = PanelBar(explorer.session, (Here, There))
    assert not made
    shelf.open("Here")
    first = shelf.opened
    assert made == [explorer.session]
    shelf.refresh("plan")
    shelf.open("There")
    assert isinstance(shelf.opened, There)
    assert shelf.content.children == (shelf.opened.box,)
    shelf.refresh("records")
    assert first.heard == ["plan"], "it is hidden"
    shelf.open("Here")
    assert shelf.opened is first
    assert len(made) == 2
    assert first.heard[1:] == ["plan", "records", "pins", "job"], "and catches up"
    shelf.open(None)
    assert shelf.content.children == ()


def files_entered(run):
    """The files of the package that a call enters, and how often it computes a summary."""
    files, summaries, states = set(), 0, 0

    def seen(frame, event, _argument):
        nonlocal summaries, states
        code = frame.f_code
        if event == "call" and "/gdws_explorer/" in code.co_filename:
            files.add(code.co_filename.rpartition("/gdws_explorer/")[2])
            summaries += code.co_qualname == "Network.summary"
            states += code.co_name == "state_of"

    sys.setprofile(seen)
    try:
        run()
    finally:
        sys.setprofile(None)
    return files, summaries, states


@pytest.mark.parametrize(("kind", "most", "most_beneath"), [("move", 26, 18), ("network", 31, 23)])
def test_a_slider_message_computes_one_summary_and_one_state(explorer, kind, most, most_beneath):
    message = {
        "move": {"type": "move", "layer": 3, "gesture": "a", "values": [0.4]},
        "network": {"type": "network", "by": "macs", "gesture": "b", "value": 0.4},
    }[kind]
    explorer.desk.receive({**message, "seq": 1})
    moved = {"values": [0.3]} if kind == "move" else {"value": 0.3}
    files, summaries, states = files_entered(
        lambda: explorer.desk.receive({**message, **moved, "seq": 2})
    )
    assert (summaries, states) == (1, 1)
    assert explorer.desk.state["seq"] == 2
    assert len(files) <= most, sorted(files)
    beneath = {f for f in files if not f.startswith(("widgets/", "figures/"))}
    assert len(beneath) <= most_beneath, sorted(beneath)


def test_a_message_that_changes_nothing_is_acknowledged(explorer, monkeypatch):
    sent = []
    monkeypatch.setattr(type(explorer.desk), "send", lambda self, content: sent.append(content))
    explorer.desk.receive({"type": "move", "layer": 3, "values": [0.4], "gesture": "a", "seq": 1})
    state = explorer.desk.state
    assert sent == [], "the state itself carries the number"
    explorer.desk.receive({"type": "number", "layer": 3, "texts": ["none"], "seq": 2})
    assert sent == [{"type": "acknowledged", "seq": 2}]
    assert explorer.desk.state is state
    assert "not a number" in explorer.session.message
