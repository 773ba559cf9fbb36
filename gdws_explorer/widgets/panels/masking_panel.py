"""The panel "Can I trust it?": signs of gradient masking in the present plan."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import ClassVar

import ipywidgets as w

from gdws_explorer.errors import DataError
from gdws_explorer.network.plans.plan import Plan
from gdws_explorer.robust.gradient_masking import MaskingReport, check_masking
from gdws_explorer.session.events import Event
from gdws_explorer.session.session import Session
from gdws_explorer.widgets.form import button, errors_in, labelled, on, row
from gdws_explorer.widgets.job_controls import JobControls

JOB_TITLE = "checking for gradient masking"
IMAGES = 100
INTRODUCTION = (
    "A network can look robust only because its gradients mislead the attack. This check looks for "
    "signs of that on the same images: zero gradients, one step against many, random points, a "
    "search without gradients, more steps, a larger ball, and an ε at which every network must "
    "fail. A check that finds no sign does not prove robustness."
)


class MaskingPanel:
    """A button that starts the check, its job, and a table of signs.

    n : input with the number of images. check_button : starts the check. message : the table, or
    an error. controls : progress and Cancel of the job.
    """

    title: ClassVar[str] = "Can I trust it?"
    tip: ClassVar[str] = "Check for signs that the attack fails and robustness only seems so"

    def __init__(self, session: Session) -> None:
        self._session = session
        self._checked: tuple[Plan, MaskingReport] | None = None
        self.n = labelled(
            w.BoundedIntText, "n", 14, 80, value=IMAGES, min=10, max=100_000,
            tooltip="The number of images, the same for every attack",
        )  # fmt: skip
        self.check_button = button(
            "Check this plan", "search", "Attack it in several ways in the background", 140
        )
        self.check_button.button_style = "primary"
        self.message = w.HTML()
        self.controls = JobControls(session, self.check_button, self.message, "Stop the check")
        on(session, self.check_button, self._start)
        self.box = w.VBox(
            [
                w.HTML(f'<span class="gx-unit">{escape(INTRODUCTION)}</span>'),
                row(self.n, self.check_button, self.controls.cancel_button, self.controls.bar),
                self.message,
            ]
        )  # fmt: skip
        self.refresh("job")

    def refresh(self, event: Event) -> None:
        """Shows the job, and whether the checked plan is still the present one."""
        if event == "job":
            self.controls.refresh()
        if event == "plan" and self._checked is not None:
            plan, report = self._checked
            self.message.value = report_html(plan, report, present=plan == self._session.plan)

    def _start(self) -> None:
        with errors_in(self.message):
            self._submit()

    def _submit(self) -> None:
        session, plan = self._session, self._session.plan
        network, (attack, _, seed) = session.network, session.measurements.how
        data = session.measurements.data
        if data is None:
            raise DataError("there are no images to attack; open with data=(images, labels).")
        if attack is None:
            raise DataError("there is no attack to check; choose one next to Evaluate.")
        n = min(self.n.value, len(data[1]))
        self._checked, self.message.value = None, ""

        def check(progress: Callable[[float], None], cancelled: Callable[[], bool]) -> None:
            built = network.build(plan, cancel=cancelled)
            report = check_masking(
                built, data, attack, n=n, seed=seed, progress=progress, cancel=cancelled
            )
            self._checked = plan, report
            self.message.value = report_html(plan, report, present=plan == session.plan)

        self.controls.start(JOB_TITLE, check)


def report_html(plan: Plan, report: MaskingReport, *, present: bool) -> str:
    """Returns the signs as a table, those that were found first.

    present : whether the checked plan is the present one.
    """
    rows = "".join(
        f'<tr><td style="white-space:nowrap">{_mark(check.warns)}</td>'
        f"<td><b>{escape(check.name)}</b></td>"
        f"<td>{escape(check.message)} {escape(check.advice)}<br>"
        f'<span class="gx-unit">correct: {escape("; ".join(map(str, check.outcomes)))}'
        f"{'' if check.p is None else f'; p {check.p:.2g}'}</span></td></tr>"
        for check in sorted(report.checks, key=lambda check: not check.warns)
    )
    count = len(report.warnings)
    head = (
        f"<b>{count} of {len(report.checks)} signs found: the robust accuracy is not reliable.</b>"
        if count
        else f"<b>None of {len(report.checks)} signs found.</b>"
    )
    setting = (
        f"Checked: {report.attack.label}, n {report.n}, seed {report.seed}, plan {plan.hash[:8]}."
    )
    note = "" if report.note is None else f" {report.note}."
    changed = "" if present else " The present plan is another one."
    return (
        f"{head}<table>{rows}</table>"
        f'<span class="gx-unit">{escape(setting + note)}<b>{escape(changed)}</b></span>'
    )


def _mark(warns: bool) -> str:
    return '<span class="gx-error">⚠ found</span>' if warns else "✓ not found"
