"""The explorer's sentences, as HTML."""

from __future__ import annotations

from html import escape

from gdws_explorer.network.plans.choices import (
    GDWS,
    SVD,
    Dense,
    SpatialSVD,
    Tucker2,
    family_of,
    ranks_of,
)
from gdws_explorer.network.plans.cost import break_even
from gdws_explorer.network.plans.families import FAMILIES
from gdws_explorer.session.session import Session
from gdws_explorer.utils.format import millions


def head(session: Session) -> str:
    """The title line."""
    network = session.network
    return (
        f'<span class="gx-head">{escape(session.title)}</span> '
        f'<span class="gx-unit">{millions(network.params)} parameters · '
        f"{millions(network.macs)} MACs per image · {len(network.names)} layers</span>"
    )


def layer(session: Session) -> str:
    """What the chosen layer is and becomes."""
    name = session.controls.selected
    described = session.network.layer(name)
    summary = session.summary.layers[name]
    choice = summary.choice
    parts = [f"<b>{escape(str(described))}</b>", escape(_choice(session, name))]
    if not isinstance(choice, Dense):
        parts += [
            f"MACs {millions(summary.dense_macs)} → {millions(summary.macs)} "
            f"({summary.macs / summary.dense_macs:.0%})",
            f"parameters {millions(summary.dense_params)} → {millions(summary.params)}",
            f"squared error {summary.error:.4g} ({summary.error / (summary.energy or 1):.2%} "
            f"of {session.snapshot.error_unit.replace('outputs', 'output')})",
        ]
    if summary.larger:
        parts.append('<b style="color:var(--gx-warn)">dearer than the dense layer</b>')
    return " · ".join(parts) + f'<br><span class="gx-unit">{PICTURES[type(choice)]}</span>'


PICTURES = {
    GDWS: "Left: every singular triplet, kept ones blue. Right: the strongest depthwise kernels "
    "(blue positive, orange negative), dropped ones faded.",
    Tucker2: "Colour: the error of every pair of ranks. White lines: share of the dense MACs. "
    "Ring: the chosen pair.",
    SVD: "How the error falls and the MACs rise with the rank; rings: the chosen one.",
    SpatialSVD: "How the error falls and the MACs rise with the rank; rings: the chosen one.",
    Dense: "The layer as it is: everything kept.",
}


def _choice(session: Session, name: str) -> str:
    choice = session.plan[name]
    if isinstance(choice, Dense):
        return "dense"
    one = FAMILIES[family_of(choice)]
    most = one.most(session.network.spectrum(name, one.name))
    text = f"{one.label}: " + ", ".join(
        f"{label} {rank} of {limit}"
        for label, rank, limit in zip(one.ranks, ranks_of(choice), most, strict=True)
    )
    if isinstance(choice, GDWS):
        text += f" (cheaper than dense up to {break_even(session.network.layer(name))})"
    return text


def setting(session: Session) -> str:
    """How accuracy is measured now."""
    m = session.measurements
    attack = "no attack" if m.attack is None else m.attack.label
    return f"{attack} · n {m.n} · seed {m.seed}"


def records(session: Session) -> str:
    """What the front shows, and what it does not."""
    measured, picking = session.measurements, session.record_filter
    count, others = len(picking.records), measured.others()
    text = ""
    if count:
        text = (
            f"{count} plans measured with {measured.shown.label}; bars are 95 % intervals (Wilson)."
        )
        grey = count - len(picking.filters.kept(picking.records))
        if grey:
            text += f" {grey} are greyed out: not {picking.filters}."
    if measured.data is None:
        text += " There are no images here to measure on; open with data=(images, labels)."
    elif not count:
        text = f"No plan is measured yet with {setting(session)}: press Evaluate."
    if others:
        text += f" {others} measured in other settings are not shown."
    if count:
        text += " Click a point to bring its plan back; ← and → walk the front."
    return f'<span class="gx-unit">{escape(text)}</span>'


def estimate(session: Session) -> str:
    """The transfer estimate with its interval, or what it waits for; nothing where it is off."""
    if not session.estimates.enabled:
        return ""
    if session.measurements.of(session.plan) is not None:
        text = "▽ This plan is measured: no estimate is needed."
    elif session.snapshot.estimate is not None:
        found = session.snapshot.estimate
        low, high = found.robust_interval or (0.0, 1.0)
        clean = found.clean_interval
        text = (
            f"▽ {found.label}: robust at most {found.robust:.1%} (95 %: {low:.1%} to {high:.1%}), "
            f"on images that {found.attack.label} made for the dense network; ◇ clean "
            f"{found.clean:.1%} ({clean[0]:.1%} to {clean[1]:.1%}), measured. n {found.n}, seed "
            f"{found.seed}."
        )
    elif session.estimates.error is not None:
        text = f"▽ no estimate: {session.estimates.error}"
    elif session.measurements.attack is None:
        text = "▽ no estimate without an attack; choose one."
    else:
        text = "▽ estimating …"
    return f'<span class="gx-unit">{escape(text)}</span>'


def job(session: Session) -> str:
    """The running measurement in words."""
    running, waiting = session.jobs.running, session.jobs.waiting
    if running is None:
        return ""
    queue = f" · {waiting} waiting" if waiting else ""
    what = f"{running.about} " if isinstance(running.about, str) else ""
    if running.cancelling:
        return f"stopping …{queue}"
    left = running.seconds_left
    time = "" if left is None else f" · {max(0.0, left):.0f} s left"
    return f"{what}{running.fraction:.0%}{time}{queue}"


def message(session: Session) -> str:
    """The last message; an error is marked by a word, not by colour alone."""
    if not session.message:
        return ""
    text = escape(session.message)
    if session.failed:
        return f'<span class="gx-error" role="alert">Cannot do that:</span> {text}'
    return f'<span role="status">{text}</span>'
