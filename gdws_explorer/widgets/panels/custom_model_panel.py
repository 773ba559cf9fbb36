"""The panel "Bring your own": load a network and images, look at the summary, explore them."""

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
from gdws_explorer.session.events import Event
from gdws_explorer.session.session import Session
from gdws_explorer.utils.parsing import parse_radius
from gdws_explorer.utils.sampling import EVALUATION_IMAGES
from gdws_explorer.widgets.form import button, errors_in, labelled, on, row
from gdws_explorer.widgets.job_controls import JobControls

JOB_TITLE = "loading your network"
NONE, CUSTOM = "none, or inside it", "other …"  # normalisations
SOURCES = ("an .npz file", "a folder per class", "a torchvision data set", "variables")
FILE, FOLDER, NAMED, VARIABLES = SOURCES


class CustomModelPanel:
    """Two forms, a summary of the loaded network and images, and a button that explores them.

    network, images : the forms. eps : input with the attack's radius. look_button : loads both.
    open_button : explores them. message : the summary, or an error. controls : progress bar and
    Cancel.
    variables : what the forms may refer to, by name; the notebook's variables unless given.
    """

    title: ClassVar[str] = "Bring your own"
    tip: ClassVar[str] = "Explore your own network and images"

    def __init__(self, session: Session, variables: dict[str, Any] | None = None) -> None:
        self._session = session
        self.variables = variables
        self._found: CustomBench | None = None
        self.network = NetworkForm(self._networks())
        self.images = ImagesForm()
        self.eps = labelled(
            w.Text, "ε", 14, 90, value="8/255", continuous_update=False,
            tooltip="Radius of the attack, for images in [0, 1]",
        )  # fmt: skip
        self.look_button = button("Look at it", "search", "Load both and show a summary", 110)
        self.look_button.button_style = "primary"
        self.open_button = button("Explore it", "arrow-right", "Open the explorer", 120)
        self.open_button.button_style = "success"
        self.message = w.HTML()
        self.controls = JobControls(session, self.look_button, self.message, "Stop loading")
        on(session, self.look_button, self._start)
        on(session, self.open_button, self._explore)
        intro = w.HTML(
            '<span class="gx-unit">A network (by name, or a variable of this notebook), its '
            "weights, and images with labels. Your objects are not changed, files are never "
            "unpickled, and nothing is downloaded unless you allow it.</span>"
        )
        form = w.HBox(
            [self.network.box, self.images.box],
            layout=w.Layout(flex_flow="row wrap", grid_gap="4px 28px"),
        )
        self.box = w.VBox(
            [
                intro, form,
                row(
                    self.eps, self.look_button, self.controls.cancel_button, self.open_button,
                    self.controls.bar,
                ),
                self.message,
            ]
        )  # fmt: skip
        self.refresh("job")

    def refresh(self, event: Event) -> None:
        """Shows the state of the job that loads."""
        if event == "job":
            self.controls.refresh()
            self.open_button.disabled = self.controls.alive or self._found is None

    def _start(self) -> None:
        self._found, self.message.value = None, ""
        with errors_in(self.message):
            self._submit()
        self.refresh("job")

    def _submit(self) -> None:
        model = self.network.chosen(self._networks())
        images = self.images.chosen(self._named_values())
        options = {**self.network.options, **self.images.options}

        def load(progress: Callable[[float], None], cancelled: Callable[[], bool]) -> None:
            self._found = load_custom(
                model, images, cache=self._session.cache, progress=progress, cancel=cancelled,
                **options,
            )  # fmt: skip
            self.message.value = findings_html(self._found)

        self.controls.start(JOB_TITLE, load)

    def _explore(self) -> None:
        if self._found is not None:
            self._session.open_custom(self._found, PGD(parse_radius("ε", self.eps.value)))

    def _named_values(self) -> dict[str, Any]:
        """The variables that the forms may refer to."""
        if self.variables is not None:
            return self.variables
        shell = get_ipython()
        return {} if shell is None else dict(shell.user_ns)

    def _networks(self) -> dict[str, nn.Module]:
        """The networks among these variables."""
        return {
            name: value
            for name, value in self._named_values().items()
            if isinstance(value, nn.Module) and not name.startswith("_")
        }


class NetworkForm:
    """Inputs of a network: its name, weights, number of classes and normalisation.

    name, weights, classes, normalisation, mean, std : the inputs.
    """

    def __init__(self, variables: dict[str, nn.Module]) -> None:
        names = [f"cifar:{name}" for name in model_names("cifar")]
        self.name = labelled(
            w.Combobox, "network", 92, 400, options=[*variables, *names], ensure_option=False,
            placeholder="cifar:resnet18, or a variable of yours",
        )  # fmt: skip
        self.weights = FileChooser(
            select_desc="Choose", change_desc="Change", layout=w.Layout(width="400px"),
            filter_pattern=["*.safetensors", *(f"*{suffix}" for suffix in SUFFIXES)],
            title="A checkpoint file with weights; without one the weights stay as they are",
        )  # fmt: skip
        self.classes = labelled(
            w.IntText,
            "classes",
            92,
            170,
            value=0,
            tooltip="0: the number that the network has",
        )
        self.normalisation = labelled(
            w.Dropdown, "normalisation", 92, 280, options=[NONE, *STATISTICS, CUSTOM], value=NONE,
            tooltip="As in the network's training; attacks work on images in [0, 1]",
        )  # fmt: skip
        self.mean = labelled(w.Text, "mean", 92, 280, placeholder="0.49, 0.48, 0.45")
        self.std = labelled(w.Text, "std", 92, 280, placeholder="0.25, 0.24, 0.26")
        self.normalisation.observe(lambda _change: self._show_inputs(), "value")
        self.box = w.VBox(
            [
                w.HTML('<span class="gx-title">Network</span>'), self.name, self.weights,
                row(self.normalisation, self.classes), self.mean, self.std,
            ],
            layout=w.Layout(width="460px"),
        )  # fmt: skip
        self._show_inputs()

    def chosen(self, variables: dict[str, nn.Module]) -> nn.Module | str:
        """Returns the variable of this name, or the name; ModelError without a name."""
        name = str(self.name.value).strip()
        if not name:
            known = ", ".join(variables) or "there is none"
            raise ModelError(
                'name the network, as "cifar:resnet18" or "torchvision:resnet50", or a variable '
                f"of this notebook that is an nn.Module ({known})."
            )
        return variables.get(name, name)

    @property
    def options(self) -> dict[str, Any]:
        """Arguments of `load_custom`."""
        normalisation: Any = self.normalisation.value
        if normalisation == CUSTOM:
            normalisation = numbers(self.mean.value), numbers(self.std.value)
        return {
            "weights": self.weights.selected,
            "classes": self.classes.value or None,
            "normalisation": None if normalisation == NONE else normalisation,
        }

    def _show_inputs(self) -> None:
        """Shows mean and std only for another normalisation."""
        display = None if self.normalisation.value == CUSTOM else "none"
        self.mean.layout.display = self.std.layout.display = display


class ImagesForm:
    """Inputs of images: where they come from, how many, and their size.

    source, file, folder, name, root, download, x, y, n, size : the inputs. fields : the box with
    the inputs of the chosen source.
    """

    def __init__(self) -> None:
        self.source = labelled(w.Dropdown, "images from", 92, 280, options=SOURCES)
        self.file = FileChooser(
            select_desc="Choose", change_desc="Change", filter_pattern="*.npz",
            title="With x (images) and y (labels) in it", layout=w.Layout(width="400px"),
        )  # fmt: skip
        self.folder = FileChooser(
            select_desc="Choose", change_desc="Change", show_only_dirs=True,
            title="With one folder of images in it for every class", layout=w.Layout(width="400px"),
        )  # fmt: skip
        self.name = labelled(w.Text, "name", 92, 280, placeholder="cifar10, svhn, …")
        self.root = labelled(w.Text, "its folder", 92, 400, placeholder="this package's cache")
        self.download = w.Checkbox(value=False, description="download it if missing", indent=False)
        self.x = labelled(w.Text, "images", 92, 280, placeholder="x", tooltip="A variable's name")
        self.y = labelled(
            w.Text, "labels", 92, 280, placeholder="y; none for a Dataset or DataLoader"
        )
        self.n = labelled(
            w.IntText, "n", 92, 170, value=EVALUATION_IMAGES, tooltip="Images to measure on"
        )
        self.size = labelled(
            w.IntText,
            "pixels",
            92,
            170,
            value=0,
            tooltip="Resize to n × n pixels; 0: unchanged",
        )
        self._fields_of: dict[str, tuple[w.Widget, ...]] = {
            FILE: (self.file,), FOLDER: (self.folder,),
            NAMED: (self.name, self.root, self.download), VARIABLES: (self.x, self.y),
        }  # fmt: skip
        self.fields = w.VBox([])
        self.source.observe(lambda _change: self._show_fields(), "value")
        self.box = w.VBox(
            [
                w.HTML('<span class="gx-title">Images</span>'), self.source, self.fields,
                row(self.n, self.size),
            ],
            layout=w.Layout(width="460px"),
        )  # fmt: skip
        self._show_fields()

    def chosen(self, variables: dict[str, Any]) -> Any:
        """Returns the argument of `load_data`; DataError for a missing name or file."""
        source = self.source.value
        if source == VARIABLES:
            x, y = self.x.value.strip(), self.y.value.strip()
            missing = [name for name in (x, y) if name and name not in variables]
            if missing or not x:
                raise DataError(
                    f"unknown variable {missing[0]!r}; expected one of this notebook." if missing
                    else "name the variable that holds the images."
                )  # fmt: skip
            return (variables[x], variables[y]) if y else variables[x]
        chosen = {
            FILE: self.file.selected, FOLDER: self.folder.selected, NAMED: self.name.value
        }[source]  # fmt: skip
        if not chosen:
            raise DataError(f"choose {source} with images and labels first.")
        return chosen

    @property
    def options(self) -> dict[str, Any]:
        """Arguments of `load_custom`."""
        named = self.source.value == NAMED
        return {
            "n": self.n.value,
            "size": self.size.value or None,
            "root": (self.root.value.strip() or None) if named else None,
            "download": named and self.download.value,
        }

    def _show_fields(self) -> None:
        """Shows the inputs of the chosen source."""
        self.fields.children = self._fields_of[self.source.value]


def findings_html(found: CustomBench) -> str:
    """Returns the summary of a loaded network and its images as a table."""
    rows = "".join(
        f'<tr><td class="gx-unit" style="padding-right:12px">{escape(word)}</td>'
        f"<td>{escape(text)}</td></tr>"
        for word, text in found.findings
    )
    warning = ""
    if found.warning:
        warning = f'<span class="gx-error">Careful:</span> {escape(found.warning)}'
    return f"<b>{escape(found.title)}</b><table>{rows}</table>{warning}"
