"""A real JupyterLab on a copy of the notebooks, and a page in Debian's Chromium that looks at it.

Nothing of the user's is touched: settings, kernels' home and notebooks are temporary.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

sys.path.insert(0, str(Path(__file__).parent))  # for driving.py: there is no package of tests
from driving import READY, RESET, TWO_CELLS, Explored, chromium, watched, write_notebook
from serving import ROOT, Lab, jupyterlab

PICTURES = Path(__file__).parent / "pictures"

RUN = 180_000  # ms for a notebook to run from top to bottom


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """JupyterLab on a copy of the notebooks; it and its kernels end with the session."""
    with jupyterlab(tmp_path_factory.mktemp("lab"), ROOT / "notebooks") as lab:
        yield lab


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, headless; `make test` installs it where it can."""
    if shutil.which("chromium") is None:
        say = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        say("no chromium: install it with `apt-get install chromium`")
    with chromium() as instance:
        yield instance


@pytest.fixture
def page(lab: Lab, browser: Browser) -> Iterator[Page]:
    """A fresh 1400 × 1000 page; see `watched`."""
    with watched(browser) as page:
        yield page


# -- what a test does to the page: fixtures that return functions, for there is no package --------


@pytest.fixture(scope="session")
def open_notebook(lab: Lab) -> Callable[[Page, str], None]:
    """`open_notebook(page, name)`: open a notebook of `lab.folder` and wait for its kernel."""

    def open_notebook(page: Page, name: str) -> None:
        page.goto(lab.notebook(name))
        page.locator(".jp-Notebook .jp-Cell").first.wait_for()
        _wait_idle(page, READY)

    return open_notebook


@pytest.fixture(scope="session")
def run_all() -> Callable[..., None]:
    """`run_all(page)`: Run ▸ Run All Cells, and wait until the kernel is idle again."""

    def run_all(page: Page, timeout: float = RUN) -> None:
        cells = page.locator(".jp-Notebook .jp-CodeCell")
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
        # [*] while a cell waits or runs; the last one has its number when all are through.
        last = cells.last.locator(".jp-InputPrompt")
        last.scroll_into_view_if_needed()
        page.wait_for_function(
            "() => { const marks = [...document.querySelectorAll('.jp-Notebook .jp-InputPrompt')]"
            ".map(each => each.textContent.trim()).filter(Boolean);"
            "return marks.some(mark => /\\d/.test(mark)) && !marks.includes('[*]:'); }",
            timeout=timeout,
        )
        _wait_idle(page, timeout)

    return run_all


@pytest.fixture(scope="session")
def wait_idle() -> Callable[..., None]:
    """`wait_idle(page)`: wait until the kernel does nothing."""
    return _wait_idle


def _wait_idle(page: Page, timeout: float = RUN) -> None:
    """The status bar says "Python 3 (ipykernel) | Idle"."""
    page.locator("#jp-main-statusbar").get_by_text("| Idle").wait_for(timeout=timeout)


@pytest.fixture(scope="session")
def screenshot() -> Callable[[Page, str], Path]:
    """`screenshot(page, name)`: a PNG in tests/browser/pictures, which git ignores."""

    def screenshot(page: Page, name: str) -> Path:
        PICTURES.mkdir(exist_ok=True)
        path = PICTURES / f"{name}.png"
        page.screenshot(path=path)
        return path

    return screenshot


@pytest.fixture(scope="session")
def cell_errors() -> Callable[[Page], list[str]]:
    """`cell_errors(page)`: the tracebacks that cells show, empty when all ran well."""
    selector = '.jp-OutputArea-output[data-mime-type="application/vnd.jupyter.stderr"] pre'
    return lambda page: page.locator(
        f"{selector}, .jp-RenderedText pre .ansi-red-fg"
    ).all_inner_texts()


@pytest.fixture(scope="session")
def first_look(lab: Lab) -> str:
    """The notebook that most tests look at."""
    name = "01_first_look.ipynb"
    if not (lab.folder / name).exists():
        write_notebook(lab.folder / name, TWO_CELLS)
    return name


@pytest.fixture(scope="session")
def opened(
    lab: Lab,
    browser: Browser,
    first_look: str,
    open_notebook: Callable[[Page, str], None],
    run_all: Callable[..., None],
) -> Iterator[Explored]:
    """Notebook 01 in a tall page, run from top to bottom; shared, for it takes its time."""
    with watched(browser, 1500, 1500) as page:
        open_notebook(page, first_look)
        run_all(page)
        kernel = lab.kernel(first_look)
        explored = Explored(page, kernel)
        explored.root.scroll_into_view_if_needed()
        explored.ready()
        assert page.errors == []
        yield explored
        kernel.close()


@pytest.fixture
def explorer(opened: Explored) -> Iterator[Explored]:
    """The shared explorer, all dense and nothing to undo; new console errors fail the test."""
    before = len(opened.page.errors)
    opened.kernel.run(RESET)
    opened.agrees()
    yield opened
    assert opened.page.errors[before:] == []
