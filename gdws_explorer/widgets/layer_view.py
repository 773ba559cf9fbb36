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
        self.figure = Figure(layer_figure.figure(self._network, *self._chosen()))
        self.box = VBox([self._caption, self.figure])
        self.refresh()

    def refresh(self) -> None:
        """Show the chosen layer under the present plan; only what changed is sent."""
        self._caption.value = text.layer(self._session)
        wanted = self._wanted()
        shapes = layer_figure.shapes(self._network, *self._chosen())
        with self.figure.batch_update():
            if wanted != self._shown:
                self._draw(*wanted[:2])
            self.figure.layout.shapes = shapes
        self._shown = wanted

    def _draw(self, name: str, one: str) -> None:
        """Put another layer's or another family's traces into the figure."""
        picture = layer_figure.picture(one)
        places = layer_figure.TRACES[picture]
        if layer_figure.picture(self._shown[1]) != picture:
            for i, trace in enumerate(self.figure.data):
                trace.visible = i in places
            self.figure.update_layout(layer_figure.axes(picture))
        for i, new in zip(places, layer_figure.traces(self._network, name, one), strict=True):
            given = {key: new[key] for key in ARRAYS if key in new and new[key] is not None}
            self.figure.data[i].update(given)

    def _chosen(self) -> tuple[str, Choice]:
        return self._session.selected, self._session.plan[self._session.selected]

    @property
    def _network(self) -> Network:
        """The network as the plan sees it; a layer that has no family there is shown plain."""
        network = self._session.network
        able = network.layer(self._session.selected).families
        return network if able else self._session.sources.plain

    def _wanted(self) -> tuple[str, str, str | None]:
        """What the traces depend on: layer, family, source."""
        name, choice = self._chosen()
        return name, layer_figure.shown_family(self._network, name, choice), self._network.label
