"""The two live figures: the chosen layer, and the front. They draw what `figures` works out."""

from __future__ import annotations

from ipywidgets import HTML, VBox

from gdws_explorer.figures import layer_figure
from gdws_explorer.network.network import Network
from gdws_explorer.network.plans.choices import Choice
from gdws_explorer.session.session import Session
from gdws_explorer.widgets import text
from gdws_explorer.widgets.figure import Figure

ARRAYS = ("x", "y", "z", "customdata")


class LayerView:
    """The chosen layer in its family's picture: triplets, error table, or error by rank."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._caption = HTML()
        self._shown = self._wanted()
        self.figure = Figure(layer_figure.figure(self._info()))
        self.box = VBox([self._caption, self.figure])
        self.refresh()

    def refresh(self) -> None:
        """Show the chosen layer under the present plan; only what changed is sent."""
        self._caption.value = text.layer(self._session)
        wanted = self._wanted()
        data = self._info()
        with self.figure.batch_update():
            if wanted != self._shown:
                self._draw(data)
            self.figure.layout.shapes = layer_figure.shapes(data)
        self._shown = wanted

    def _draw(self, data: layer_figure.LayerInfo) -> None:
        """Put another layer's or another family's traces into the figure."""
        places = layer_figure.TRACES[data.view]
        if layer_figure.view_of(self._shown[1]) != data.view:
            for i, trace in enumerate(self.figure.data):
                trace.visible = i in places
            self.figure.update_layout(layer_figure.axes(data.view))
        for i, new in zip(places, layer_figure.traces(data), strict=True):
            given = {key: new[key] for key in ARRAYS if key in new and new[key] is not None}
            self.figure.data[i].update(given)

    def _info(self) -> layer_figure.LayerInfo:
        return layer_figure.info(self._network, *self._chosen())

    def _chosen(self) -> tuple[str, Choice]:
        return self._session.controls.selected, self._session.plan[self._session.controls.selected]

    @property
    def _network(self) -> Network:
        """The network as the plan sees it; a layer that has no family there is shown plain."""
        network = self._session.network
        able = network.layer(self._session.controls.selected).families
        return network if able else self._session.views.plain

    def _wanted(self) -> tuple[str, str, str | None]:
        """What the traces depend on: layer, family, source."""
        name, choice = self._chosen()
        return name, layer_figure.shown_family(self._network, name, choice), self._network.label
