"""The explorer: the desk, the chosen layer, the front, measuring and taking away."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import ipywidgets as w

from gdws_explorer.errors import DataError
from gdws_explorer.explore.presets import PRESETS
from gdws_explorer.explore.records import Record
from gdws_explorer.figures.front import COSTS
from gdws_explorer.network.network import Network
from gdws_explorer.network.plan import Plan
from gdws_explorer.network.summary import Summary
from gdws_explorer.robust.attacks import FGSM, PGD, Attack
from gdws_explorer.widgets import state as states
from gdws_explorer.widgets import words
from gdws_explorer.widgets.desk import DeskWidget
from gdws_explorer.widgets.live import FrontView, LayerView
from gdws_explorer.widgets.session import Session


class Explorer(w.VBox):
    """The interactive explorer of one network; `gx.explore` makes it.

    session : everything it knows, without widgets. plan, summary, network : what is on the desk.
    `close()` ends its background work.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self._drawing = threading.RLock()
        self.desk = DeskWidget(session)
        self.layer_view = LayerView(session)
        self.front_view = FrontView(session)
        self.tools = Tools(session)
        self.measuring = Measuring(session)
        self.axes = Axes(session, self.front_view)
        self.taking = Taking(session)
        self._message = w.HTML()
        self._message.add_class("gx-message")
        left = w.VBox([self.layer_view.box])
        right = w.VBox([self.axes.box, self.front_view.box, self.measuring.box])
        columns = w.Box([left, right])
        columns.add_class("gx-columns")
        left.add_class("gx-column")
        right.add_class("gx-column")
        super().__init__(
            [self.tools.box, self._message, self.desk, columns, self.taking.box],
            layout=w.Layout(width="100%", padding="8px"),
        )
        self.add_class("gx-explorer")
        session.subscribe(self._changed)

    @property
    def plan(self) -> Plan:
        """The plan on the faders."""
        return self.session.plan

    @property
    def summary(self) -> Summary:
        """Its costs and error."""
        return self.session.summary

    @property
    def network(self) -> Network:
        """The network under exploration."""
        return self.session.network

    @property
    def measured(self) -> Record | None:
        """What was measured of it in the present setting, if anything was."""
        return self.session.measurements.of(self.session.plan)

    @property
    def state(self) -> str:
        """The whole view as a short string; `gx.explore(state=…)` brings it back."""
        return states.encode(self.session)

    def close(self) -> None:
        """End the background work and take the widgets away."""
        if not sys or sys.is_finalizing():  # ipywidgets closes what is left when Python itself ends
            return
        self.session.close()
        for widget in inside(self):
            widget.close()
        super().close()

    def _changed(self, what: str) -> None:
        # Called from the kernel's thread and from the worker's: one draws at a time.
        with self._drawing:
            if what in ("desk", "view"):
                self.layer_view.refresh()
                self.front_view.moved()
                self.tools.refresh()
                self.desk.refresh()  # last: its answer lets the next move come
            elif what == "learning":
                self.desk.refresh()
            elif what == "records":
                self.front_view.refresh()
            elif what == "message":
                self._message.value = words.message(self.session)
            if what in ("job", "records"):
                self.measuring.refresh()


class Tools:
    """The title, undo and redo, presets, reset."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._undo = _button("Undo", "undo", "Take the last step back (Ctrl+Z)")
        self._redo = _button("Redo", "repeat", "Take it again (Ctrl+Y)")
        reset = _button("Reset", "refresh", "All layers dense, nothing locked")
        self._preset = w.Dropdown(
            options=[("Presets …", ""), *((name, name) for name in PRESETS)],
            layout=w.Layout(width="240px"),
        )
        _on(session, self._undo, session.undo)
        _on(session, self._redo, session.redo)
        _on(session, reset, session.reset)
        self._preset.observe(self._chosen, "value")
        self.box = w.HBox(
            [w.HTML(words.head(session)), self._undo, self._redo, self._preset, reset],
            layout=w.Layout(flex_flow="row wrap", align_items="center", grid_gap="4px 8px"),
        )
        self.refresh()

    def refresh(self) -> None:
        """Undo and redo are alive only where there is a step."""
        self._undo.disabled = not self._session.history.past
        self._redo.disabled = not self._session.history.future

    def _chosen(self, change: dict[str, Any]) -> None:
        if change["new"]:
            with self._session.told():
                self._session.preset(change["new"])
            self._preset.value = ""


class Axes:
    """What the front shows, and walking along it."""

    def __init__(self, session: Session, view: FrontView) -> None:
        self._view = view
        self._cost = w.Dropdown(
            options=[(label, name) for name, label in COSTS.items()],
            description="x", layout=_wide(230), style={"description_width": "14px"},
        )  # fmt: skip
        self._metrics = w.Dropdown(
            options=[
                ("clean and robust accuracy", ("robust", "clean")),
                ("robust accuracy", ("robust",)),
                ("clean accuracy", ("clean",)),
            ],
            description="y", layout=_wide(230), style={"description_width": "14px"},
        )  # fmt: skip
        self._dominated = w.Checkbox(
            value=True, description="show dominated plans", indent=False, layout=_wide(170)
        )
        back = _button("", "arrow-left", "The next cheaper plan of the front (←)", 36)
        on = _button("", "arrow-right", "The next dearer plan of the front (→)", 36)
        _on(session, back, lambda: session.walk(-1, view.metrics[0], view.cost))
        _on(session, on, lambda: session.walk(1, view.metrics[0], view.cost))
        for widget in (self._cost, self._metrics, self._dominated):
            widget.observe(self._changed, "value")
        self.box = w.HBox(
            [self._cost, self._metrics, self._dominated, back, on],
            layout=w.Layout(flex_flow="row wrap", align_items="center"),
        )

    def _changed(self, _change: Any) -> None:
        self._view.cost = self._cost.value
        self._view.metrics = self._metrics.value
        self._view.dominated = self._dominated.value
        self._view.refresh()


class Measuring:
    """Attack and images, Evaluate, progress, cancel."""

    def __init__(self, session: Session) -> None:
        self._session = session
        attack = session.measurements.attack
        self._given = attack  # one that the inputs cannot say stands as it is
        options = [("PGD ℓ∞", "PGD"), ("FGSM ℓ∞", "FGSM"), ("no attack", "none")]
        name = "none" if attack is None else attack.name
        if attack is not None and not _said(attack):
            options, name = [(attack.label, "given"), *options], "given"
        self._attack = w.Dropdown(
            options=options, value=name, layout=_wide(94), tooltip="Through torchattacks",
        )  # fmt: skip
        eps = 0.03137 if attack is None else attack.eps
        self._eps = w.Text(
            value=_fraction(eps), description="ε", layout=_wide(86), continuous_update=False,
            style={"description_width": "14px"}, tooltip="Radius for images in [0, 1], as 8/255",
        )  # fmt: skip
        self._steps = w.IntText(
            value=attack.steps if isinstance(attack, PGD) else 20, description="steps",
            layout=_wide(88), style={"description_width": "38px"}, continuous_update=False,
        )  # fmt: skip
        self._n = w.IntText(
            value=session.measurements.n, description="n",
            layout=_wide(74), continuous_update=False,
            style={"description_width": "14px"}, tooltip="How many images",
        )  # fmt: skip
        self._evaluate = _button("Evaluate", "play", "Measure this plan in the background", 96)
        self._evaluate.button_style = "primary"
        self._cancel = _button("Cancel", "stop", "Stop the measurement and those that wait", 80)
        self._bar = w.FloatProgress(min=0, max=1, layout=_wide(160))
        self._text = w.HTML()
        _on(session, self._evaluate, self._go)
        _on(session, self._cancel, session.jobs.cancel)
        for widget in (self._attack, self._eps, self._steps, self._n):
            widget.observe(self._set, "value")
        inputs = [self._attack, self._eps, self._steps, self._n, self._evaluate, self._cancel]
        self.box = w.VBox(
            [
                w.HBox(inputs, layout=w.Layout(flex_flow="row wrap", align_items="center")),
                w.HBox([self._bar, self._text]),
            ]
        )
        self._disable_all = session.measurements.data is None
        self.refresh()

    def refresh(self) -> None:
        """Show the running job."""
        running = self._session.jobs.running
        self._bar.value = 0.0 if running is None else running.fraction
        self._bar.layout.visibility = "hidden" if running is None else "visible"
        self._cancel.disabled = running is None
        self._evaluate.disabled = self._disable_all
        self._steps.disabled = self._attack.value != "PGD"
        self._eps.disabled = self._attack.value in ("none", "given")
        self._text.value = words.job(self._session)

    def _go(self) -> None:
        self._apply()
        self._session.evaluate()

    def _set(self, _change: Any) -> None:
        with self._session.told():
            self._apply()

    def _apply(self) -> None:
        self._session.measure_with(self._chosen(), self._n.value)

    def _chosen(self) -> Attack | None:
        if self._attack.value == "given":
            return self._given
        if self._attack.value == "none":
            return None
        eps = _eps(self._eps.value)
        return FGSM(eps) if self._attack.value == "FGSM" else PGD(eps, steps=self._steps.value)


class Taking:
    """Export, records as CSV, the state string."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._folder = w.Text(
            value="chosen", description="folder", layout=_wide(220),
            style={"description_width": "48px"}, tooltip="Where the chosen network is written",
        )  # fmt: skip
        self._export = _button(
            "Export network", "download",
            "plan.json, model.safetensors, model.onnx, report.json and a README.md", 150,
        )  # fmt: skip
        csv = _button("Records as CSV", "table", "All records of this setting: records.csv", 150)
        state = _button("State string", "link", "The whole view as text", 120)
        self._state = w.Text(
            placeholder="gx.explore(state=…) restores it", layout=w.Layout(width="320px")
        )
        _on(session, self._export, self._go)
        _on(session, csv, self._csv)
        _on(session, state, self._show)
        self.box = w.HBox(
            [self._folder, self._export, csv, state, self._state],
            layout=w.Layout(flex_flow="row wrap", align_items="center"),
        )

    def _go(self) -> None:
        self._export.disabled = True
        try:
            self._session.say("exporting …")
            folder = self._session.export(self._folder.value.strip() or "chosen")
        finally:
            self._export.disabled = False
        self._session.say(f"exported to {folder}: its README.md says how to load it again.")

    def _csv(self) -> None:
        path = self._session.measurements.save("records.csv")
        self._session.say(f"wrote {path}.")

    def _show(self) -> None:
        self._state.value = states.encode(self._session)


def _said(attack: Attack) -> bool:
    """Whether the attack's inputs can say all there is to know of it."""
    return attack in (FGSM(attack.eps), PGD(attack.eps, getattr(attack, "steps", 1)))


def inside(widget: w.Widget) -> Iterator[w.Widget]:
    """All widgets in a widget, which ipywidgets would keep for ever."""
    for child in getattr(widget, "children", ()):
        yield from inside(child)
        yield child
    for name in ("layout", "style"):
        if isinstance(owned := getattr(widget, name, None), w.Widget):
            yield owned


def _on(session: Session, button: w.Button, action: Callable[[], object]) -> None:
    """Run `action` on a click; the user's errors become a message in place."""

    def clicked(_button: w.Button) -> None:
        with session.told():
            action()

    button.on_click(clicked)


def _button(text: str, icon: str, tooltip: str, width: int = 84) -> w.Button:
    return w.Button(description=text, icon=icon, tooltip=tooltip, layout=_wide(width))


def _wide(pixels: int) -> w.Layout:
    return w.Layout(width=f"{pixels}px")


def _eps(text: str) -> float:
    """`0.15` or `8/255`."""
    top, _, bottom = text.partition("/")
    try:
        return float(top) / float(bottom or 1)
    except (ValueError, ZeroDivisionError):
        raise DataError(f"ε is {text!r}; expected a number such as 0.15 or 8/255.") from None


def _fraction(eps: float) -> str:
    k = eps * 255
    return f"{round(k)}/255" if abs(k - round(k)) < 1e-6 else f"{eps:.4g}"
