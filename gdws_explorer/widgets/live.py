"""The two live figures: the chosen layer, and the front. They draw what `figures` works out."""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go
from ipywidgets import HTML, VBox

from gdws_explorer.figures import front as fronts
from gdws_explorer.figures import kernel
from gdws_explorer.network.plan import GDWS, Tucker2, family
from gdws_explorer.widgets import words
from gdws_explorer.widgets.figure import Figure
from gdws_explorer.widgets.session import Session


class LayerView:
    """The chosen layer: its GDWS spectrum and kernels, or its Tucker-2 error table."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._layer = session.selected
        self._one = self._picture()
        self._caption = HTML()
        self.figure = Figure(kernel.layer_figure(self._spectrum(), self._grid(), self._one))
        self.box = VBox([self._caption, self.figure])
        self.refresh()

    def refresh(self) -> None:
        """Show the chosen layer under the present plan; only what changed is sent."""
        self._caption.value = words.layer(self._session)
        spectrum, one = self._spectrum(), self._picture()
        with self.figure.batch_update():
            if self._layer != self._session.selected:
                self._layer = self._session.selected
                fresh = kernel.layer_figure(spectrum, self._grid(), one)
                for old, new in zip(self.figure.data, fresh.data, strict=True):
                    old.update({k: new[k] for k in ("x", "y", "z", "customdata") if k in new})
            if self._one != one:
                self._one = one
                for i, trace in enumerate(self.figure.data):
                    trace.visible = kernel.shown(i, one)
                self.figure.update_layout(kernel.layer_layout(one))
            if one == "tucker2":
                r_out, r_in = self._ranks()
                self.figure.data[4].update(x=[r_in], y=[r_out])
            else:
                self.figure.data[0].z = kernel.cells(spectrum)
                self.figure.data[1].z = kernel.mosaic(spectrum)

    def _picture(self) -> str:
        """A dense layer is shown as a GDWS spectrum of which everything is kept."""
        one = family(self._session.plan[self._session.selected])
        return "gdws" if one == "dense" else one

    def _spectrum(self) -> kernel.SpectrumInfo:
        name, network = self._session.selected, self._session.network
        spectrum = network.gdws(name)
        choice = self._session.plan[name]
        counts = network.counts(name, choice if isinstance(choice, GDWS) else GDWS(spectrum.full))
        return kernel.spectrum_info(spectrum, counts.numpy())

    def _grid(self) -> kernel.GridInfo:
        name, network = self._session.selected, self._session.network
        return kernel.grid_info(network.layer(name), network.tucker(name), *self._ranks())

    def _ranks(self) -> tuple[int, int]:
        choice = self._session.plan[self._session.selected]
        if isinstance(choice, Tucker2):
            return choice.r_out, choice.r_in
        return self._session.network.tucker(self._session.selected).full


class FrontView:
    """Measured plans over their cost; a click brings a plan back to the faders."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.cost = "macs"
        self.metrics: tuple[str, ...] = ("robust", "clean")
        self.dominated = True
        self._infos: list[fronts.FrontInfo] = []
        self._right = 1.0
        self._note = HTML()
        self.figure = Figure(self._draw(), brings=True)
        for place, trace in enumerate(self.figure.data[:4]):
            trace.on_click(lambda _trace, points, _state, p=place: self._clicked(p, points))
        self.box = VBox([self.figure, self._note])
        self.refresh()

    def refresh(self) -> None:
        """Show the records of the present setting."""
        fresh = self._draw()
        with self.figure.batch_update():
            for old, new in zip(self.figure.data, fresh.data, strict=True):
                old.update(new.to_plotly_json(), overwrite=False)
            self.figure.layout.update(
                {k: fresh.layout[k].to_plotly_json() for k in ("xaxis", "yaxis")}
            )
            self.figure.layout.shapes = fresh.layout.shapes
        self._note.value = words.records(self._session)

    def moved(self) -> None:
        """Follow the plan on the faders: a line and the ghosts, all of them shapes."""
        with self.figure.batch_update():
            self.figure.layout.shapes = self._shapes()

    def _draw(self) -> go.Figure:
        records = self._session.measurements.records()
        self._infos = [
            fronts.info(records if metric in self.metrics else [], metric, self.cost)
            for metric in fronts.ACCURACIES
        ]
        figure = fronts.figure(self._infos, dominated=self.dominated)
        figure.update_yaxes(title=f"{' and '.join(self.metrics)} accuracy (%)")
        summary = self._session.summary
        dense = float(getattr(self._session.network, self.cost, summary.relative_error))
        axes = fronts.ranges(self._infos, dense)
        self._right = axes["xaxis"]["range"][1]
        return figure.update_layout(axes, shapes=self._shapes())

    def _shapes(self) -> list[dict[str, Any]]:
        """The cursor at the plan's cost, and where it should land while it is not measured."""
        session, measured = self._session, self._session.measurements
        here = float(getattr(session.summary, self.cost))
        shapes = [fronts.cursor(here)]
        if measured.of(session.plan) is None:
            side = "left" if here > 0.7 * self._right else "right"
            values = [measured.predicted(session.plan, metric) for metric in self.metrics]
            shapes += [fronts.ghost(here, 100 * v, outwards=side) for v in values if v is not None]
        return shapes

    def _clicked(self, place: int, points: Any) -> None:
        if not points.point_inds:
            return
        info = self._infos[place // 2]
        index = self.figure.data[place].customdata[points.point_inds[0]]
        with self._session.told():
            self._session.put(info.records[int(index)].plan)
