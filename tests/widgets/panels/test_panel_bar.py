"""The buttons that open panels."""

import ipywidgets as w
import pytest

import gdws_explorer as gx
from gdws_explorer.session.session import Session
from gdws_explorer.widgets.panels.panel_bar import REOPENED, PanelBar


@pytest.fixture
def session():
    made = Session("digits")
    yield made
    made.close()


class First:
    title, tip = "First", "a panel"

    def __init__(self, session):
        self.events = []
        self.box = w.HTML(self.title)

    def refresh(self, event):
        self.events.append(event)


class Second(First):
    title = "Second"


class Broken(First):
    title = "Broken"

    def __init__(self, session):
        raise gx.DataError("it needs images")


@pytest.fixture
def bar(session):
    return PanelBar(session, (First, Second, Broken))


def test_a_panel_is_created_when_it_is_first_opened(bar):
    assert (bar.panels, bar.opened, bar.content.children) == ({}, None, ())
    bar.buttons["First"].value = True
    assert list(bar.panels) == ["First"]
    assert bar.opened is bar.panels["First"]
    assert bar.content.children == (bar.opened.box,)
    bar.buttons["First"].value = False
    assert (bar.opened, bar.content.children) == (None, ())


def test_one_panel_is_open_at_a_time_and_a_hidden_one_catches_up(bar):
    bar.open("First")
    first = bar.opened
    bar.refresh("records")
    bar.open("Second")
    bar.refresh("job")
    assert first.events == ["records"]
    assert not bar.buttons["First"].value
    bar.open("First")
    assert bar.opened is first
    assert first.events == ["records", *REOPENED]


def test_a_panel_that_cannot_open_says_why(bar, session):
    bar.open("Broken")
    assert session.message == "it needs images"
    assert bar.opened is None


def test_closing_puts_every_panel_into_the_page(bar):
    for title in ("First", "Second"):
        bar.open(title)
    bar.close()
    assert bar.content.children == tuple(panel.box for panel in bar.panels.values())
