"""Bring your own network and images: choose files or names, look at what was found, open it."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import Any, ClassVar

import ipywidgets as w
from ipyfilechooser import FileChooser
from IPython.core.getipython import get_ipython
from torch import nn

from gdws_explorer.bench.checkpoint import SUFFIXES
from gdws_explorer.bench.custom import STATISTICS, CustomBench, load_custom, numbers
from gdws_explorer.bench.model_registry import model_names
from gdws_explorer.errors import DataError, ModelError
from gdws_explorer.robust.attacks import PGD
from gdws_explorer.session.session import Session
from gdws_explorer.widgets.form import button, labelled, on, radius, row, told
from gdws_explorer.widgets.job_controls import JobControls

LOOKING = "looking at your network"
NONE, CUSTOM = "none, or inside it", "other …"
SOURCES = ("an .npz file", "a folder per class", "a torchvision data set", "variables")
FILE, FOLDER, NAMED, VARIABLES = SOURCES


class CustomModelPanel:
    """The form, what was found, and the button that opens it.

    variables : by their names, what may be named in it; the notebook's own unless given.
    """

    title: ClassVar[str] = "Bring your own"
    tip: ClassVar[str] = "Explore a network and images of your own"

    def __init__(self, session: Session, variables: dict[str, Any] | None = None) -> None:
        self._session = session
        self._variables = variables
        self._found: CustomBench | None = None
        self._network = _Network(self._known())
        self._images = _Images()
        self._eps = labelled(
            w.Text, "ε", 14, 90, value="8/255", continuous_update=False,
            tooltip="Radius of the attack, for images in [0, 1]",
        )  # fmt: skip
        self._look = button("Look at it", "search", "Load both, and say what is found", 110)
        self._look.button_style = "primary"
        self._open = button("Explore it", "arrow-right", "Open the explorer on it", 120)
        self._open.button_style = "success"
        self._said = w.HTML()
        self._working = JobControls(session, self._look, self._said, "Stop looking")
        on(session, self._look, self._start)
        on(session, self._open, self._enter)
        intro = w.HTML(
            '<span class="gx-unit">A network (by name, or a variable of this notebook), its '
            "weights, and images with labels. Nothing of yours is changed; files are never "
            "unpickled; nothing is downloaded unless you say so.</span>"
        )
        form = w.HBox(
            [self._network.box, self._images.box],
            layout=w.Layout(flex_flow="row wrap", grid_gap="4px 28px"),
        )
        self.box = w.VBox(
            [
                intro, form,
                row(self._eps, self._look, self._working.cancel, self._open, self._working.bar),
                self._said,
            ]
        )  # fmt: skip
        self.refresh("job")

    def refresh(self, what: str) -> None:
        """Follow the job that looks."""
        if what == "job":
            self._working.refresh()
            self._open.disabled = self._working.alive or self._found is None

    def _start(self) -> None:
        self._found, self._said.value = None, ""
        with told(self._said):
            self._submit()
        self.refresh("job")

    def _submit(self) -> None:
        model = self._network.chosen(self._known())
        images = self._images.chosen(self._known_values())
        given = {**self._network.given, **self._images.given}

        def look(progress: Callable[[float], None], cancelled: Callable[[], bool]) -> None:
            self._found = load_custom(
                model, images, cache=self._session.cache, progress=progress, cancel=cancelled,
                **given,
            )  # fmt: skip
            self._said.value = _words(self._found)

        self._working.begin(LOOKING, look)

    def _enter(self) -> None:
        if self._found is not None:
            self._session.open_custom(self._found, PGD(radius(self._eps.value)))

    def _known_values(self) -> dict[str, Any]:
        """The notebook's own variables."""
        if self._variables is not None:
            return self._variables
        shell = get_ipython()
        return {} if shell is None else dict(shell.user_ns)

    def _known(self) -> dict[str, nn.Module]:
        """The networks among them."""
        return {
            name: value
            for name, value in self._known_values().items()
            if isinstance(value, nn.Module) and not name.startswith("_")
        }


class _Network:
    """Which network, its weights and its normalisation."""

    def __init__(self, variables: dict[str, nn.Module]) -> None:
        names = [f"cifar:{name}" for name in model_names("cifar")]
        self._name = labelled(
            w.Combobox, "network", 92, 400, options=[*variables, *names], ensure_option=False,
            placeholder="cifar:resnet18, or a variable of yours",
        )  # fmt: skip
        self._weights = FileChooser(
            select_desc="Choose", change_desc="Change", layout=w.Layout(width="400px"),
            filter_pattern=["*.safetensors", *(f"*{suffix}" for suffix in SUFFIXES)],
            title="Weights from a checkpoint file; without one they stay as they are",
        )  # fmt: skip
        self._classes = labelled(
            w.IntText, "classes", 92, 170, value=0, tooltip="0: the network's own number"
        )
        self._norm = labelled(
            w.Dropdown, "normalisation", 92, 280, options=[NONE, *STATISTICS, CUSTOM], value=NONE,
            tooltip="What the network was trained with: attacks work on images in [0, 1]",
        )  # fmt: skip
        self._mean = labelled(w.Text, "mean", 92, 280, placeholder="0.49, 0.48, 0.45")
        self._std = labelled(w.Text, "std", 92, 280, placeholder="0.25, 0.24, 0.26")
        self._norm.observe(self._shown, "value")
        self.box = w.VBox(
            [
                w.HTML('<span class="gx-title">Network</span>'), self._name, self._weights,
                row(self._norm, self._classes), self._mean, self._std,
            ],
            layout=w.Layout(width="460px"),
        )  # fmt: skip
        self._shown(None)

    def chosen(self, variables: dict[str, nn.Module]) -> nn.Module | str:
        """The variable of this name, or the name."""
        name = str(self._name.value).strip()
        if not name:
            known = ", ".join(variables) or "none is one"
            raise ModelError(
                'name the network, as "cifar:resnet18" or "torchvision:resnet50", or a variable '
                f"of this notebook that is an nn.Module ({known})."
            )
        return variables.get(name, name)

    @property
    def given(self) -> dict[str, Any]:
        """What `bring` takes of it."""
        norm: Any = self._norm.value
        if norm == CUSTOM:
            norm = numbers(self._mean.value), numbers(self._std.value)
        return {
            "weights": self._weights.selected,
            "classes": self._classes.value or None,
            "normalisation": None if norm == NONE else norm,
        }

    def _shown(self, _change: Any) -> None:
        display = None if self._norm.value == CUSTOM else "none"
        self._mean.layout.display = self._std.layout.display = display


class _Images:
    """Which images, how many, and of what size."""

    def __init__(self) -> None:
        self._source = labelled(w.Dropdown, "images from", 92, 280, options=SOURCES)
        self._file = FileChooser(
            select_desc="Choose", change_desc="Change", filter_pattern="*.npz",
            title="With x (images) and y (labels) in it", layout=w.Layout(width="400px"),
        )  # fmt: skip
        self._folder = FileChooser(
            select_desc="Choose", change_desc="Change", show_only_dirs=True,
            title="With one folder of images in it for every class", layout=w.Layout(width="400px"),
        )  # fmt: skip
        self._name = labelled(w.Text, "name", 92, 280, placeholder="cifar10, svhn, …")
        self._root = labelled(w.Text, "its folder", 92, 400, placeholder="this package's cache")
        self._download = w.Checkbox(value=False, description="download it if missing", indent=False)
        self._x = labelled(w.Text, "images", 92, 280, placeholder="x", tooltip="A variable's name")
        self._y = labelled(
            w.Text, "labels", 92, 280, placeholder="y; none for a Dataset or DataLoader"
        )
        self._n = labelled(w.IntText, "n", 92, 170, value=360, tooltip="How many to measure on")
        self._size = labelled(
            w.IntText, "pixels", 92, 170, value=0, tooltip="Make them n × n; 0: as they are"
        )
        self._places: dict[str, tuple[w.Widget, ...]] = {
            FILE: (self._file,), FOLDER: (self._folder,),
            NAMED: (self._name, self._root, self._download), VARIABLES: (self._x, self._y),
        }  # fmt: skip
        self._middle = w.VBox([])
        self._source.observe(self._shown, "value")
        self.box = w.VBox(
            [
                w.HTML('<span class="gx-title">Images</span>'), self._source, self._middle,
                row(self._n, self._size),
            ],
            layout=w.Layout(width="460px"),
        )  # fmt: skip
        self._shown(None)

    def chosen(self, variables: dict[str, Any]) -> Any:
        """What `load_data` takes; DataError where nothing is named."""
        source = self._source.value
        if source == VARIABLES:
            x, y = self._x.value.strip(), self._y.value.strip()
            missing = [name for name in (x, y) if name and name not in variables]
            if missing or not x:
                raise DataError(
                    f"there is no variable {missing[0]!r} in this notebook." if missing
                    else "name the variable that holds the images."
                )  # fmt: skip
            return (variables[x], variables[y]) if y else variables[x]
        given = {
            FILE: self._file.selected, FOLDER: self._folder.selected, NAMED: self._name.value
        }[source]  # fmt: skip
        if not given:
            raise DataError(f"choose {source} with images and labels first.")
        return given

    @property
    def given(self) -> dict[str, Any]:
        """What `bring` takes of it."""
        named = self._source.value == NAMED
        return {
            "n": self._n.value,
            "size": self._size.value or None,
            "root": (self._root.value.strip() or None) if named else None,
            "download": named and self._download.value,
        }

    def _shown(self, _change: Any) -> None:
        self._middle.children = self._places[self._source.value]


def _words(own: CustomBench) -> str:
    """What was found, as a table."""
    rows = "".join(
        f'<tr><td class="gx-unit" style="padding-right:12px">{escape(word)}</td>'
        f"<td>{escape(text)}</td></tr>"
        for word, text in own.findings
    )
    warning = ""
    if own.warning:
        warning = f'<span class="gx-error">Careful:</span> {escape(own.warning)}'
    return f"<b>{escape(own.title)}</b><table>{rows}</table>{warning}"
