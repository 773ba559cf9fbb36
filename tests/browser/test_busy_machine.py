"""A machine with other things to do, where five megabytes of JavaScript take their time.

anywidget waits two seconds for a model and then never listens to it again: with plotly's own
FigureWidget the explorer that this test opens was there and did not move.
"""

import subprocess
import sys
from contextlib import ExitStack, contextmanager

import pytest
from driving import TWO_CELLS, Explored, write_notebook

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@contextmanager
def busy(processes):
    """Other people's work."""
    work = [sys.executable, "-c", "while True: pass"]
    with ExitStack() as stack:
        for _ in range(processes):
            stack.callback(stack.enter_context(subprocess.Popen(work)).kill)
        yield


def test_the_explorer_lives_on_a_busy_machine(page, lab, open_notebook, wait_idle):
    name = write_notebook(lab.folder / "busy.ipynb", TWO_CELLS)
    open_notebook(page, name)

    def run_all():
        page.evaluate("void window.jupyterapp.commands.execute('notebook:run-all-cells')")
        page.locator(".gx-explorer .gx-strip").first.wait_for()
        explorer = Explored(page, lab.kernel(name))
        explorer.ready()
        return explorer

    with busy(8):
        run_all()
        page.reload()  # all of the kernel's widgets are made again, and then those of a new run
        page.locator(".jp-Notebook .jp-Cell").first.wait_for()
        wait_idle(page)
        explorer = run_all()
    explorer.agrees(seconds=10)
    explorer.drag(explorer.fader("conv4"), 0.4)
    assert explorer.agrees()[1]["layers"]["conv4"][1] != "dense"
    assert page.errors == []
