// The mixing desk: one slider per layer and one for the whole network.
// The kernel computes. This file draws the state and sends the user's input. While an answer is
// awaited, only the latest position of a slider is kept, so that old positions never pile up.

function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "class") node.className = value;
    else if (key === "text") node.textContent = value;
    else if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (value !== null && value !== undefined) node.setAttribute(key, value);
  }
  node.append(...children);
  return node;
}

function options(select, pairs, value) {
  const key = JSON.stringify(pairs);
  if (select.dataset.pairs !== key) {
    select.dataset.pairs = key;
    select.replaceChildren(
      ...pairs.map(([id, label, why]) => {
        const option = el("option", { value: id, text: label, title: why || null });
        option.disabled = Boolean(why);
        return option;
      }),
    );
  }
  if (select.value !== value) select.value = value;
}

// Sends messages one at a time; of the moves of one slider that wait, only the latest is sent.
// busy : called with whether an answer is still awaited.
function courier(model, busy) {
  let seq = 0;
  let waitingFor = 0;
  let about = null; // the slider whose answer is awaited
  let timer = null;
  const pending = new Map();
  function next() {
    const first = pending.entries().next();
    busy(!first.done);
    if (first.done) return;
    pending.delete(first.value[0]);
    seq += 1;
    waitingFor = seq;
    about = first.value[0];
    clearTimeout(timer);
    timer = setTimeout(release, 2000); // a kernel that is busy must not lock the desk for good
    model.send({ ...first.value[1], seq });
  }
  function release() {
    waitingFor = 0;
    next();
  }
  return {
    send(message, key = Symbol("once")) {
      pending.delete(key);
      pending.set(key, message);
      if (!waitingFor) next();
    },
    // Whether a slider was moved again after the message that an answer belongs to.
    ahead: (key, number) => pending.has(key) || (waitingFor > number && about === key),
    answered(number) {
      if (number >= waitingFor && waitingFor) {
        clearTimeout(timer);
        release();
      }
    },
  };
}

function render({ model, el: root }) {
  const post = courier(model, (yes) => root.setAttribute("aria-busy", yes));
  let gesture = 0;
  const hand = Math.random().toString(36).slice(2); // a reloaded page counts its gestures from 0 again
  let held = null; // the slider that is being dragged: the kernel's answer must not move it
  let acknowledged = 0; // number of the latest message that changed nothing
  let editing = null; // the number that is being typed: an answer must not replace it

  // A drag is one gesture from press to release; a run of arrow keys ends when the key is up.
  function fader(attributes, send) {
    const input = el("input", { type: "range", min: 0, max: 1, step: 0.005, ...attributes });
    const begin = () => {
      if (held !== input) {
        held = input;
        gesture += 1;
      }
    };
    input.addEventListener("pointerdown", begin);
    input.addEventListener("keydown", (event) => {
      if (event.key.startsWith("Arrow") || event.key.startsWith("Page")) begin();
      if (!event.ctrlKey && !event.metaKey) event.stopPropagation(); // undo works here too
    });
    // Each slider ends only its own gesture: the one that loses the focus reports "blur" after the
    // next one was pressed.
    for (const done of ["pointerup", "pointercancel", "keyup", "blur"])
      input.addEventListener(done, () => {
        if (held === input) held = null;
      });
    input.addEventListener("input", () => {
      const single = held !== input; // set by a program: a gesture of its own
      if (single) gesture += 1;
      send(input.valueAsNumber, `${hand}:${gesture}`);
    });
    return input;
  }

  function number(attributes, send) {
    const input = el("input", { type: "text", inputmode: "decimal", class: "gx-number", ...attributes });
    input.addEventListener("input", () => (editing = input));
    input.addEventListener("change", () => {
      editing = null;
      send(input.value);
    });
    input.addEventListener("keydown", (event) => event.stopPropagation());
    return input;
  }

  function put(input, value) {
    if (input !== held && input !== editing) input.value = value;
  }

  // -- the network's slider ------------------------------------------------------------
  const by = el("select", { "aria-label": "what the network budget limits" });
  by.addEventListener("change", () => post.send({ type: "network by", by: by.value }));
  const master = fader({ class: "gx-master", "aria-label": "network budget" }, (value, g) =>
    post.send({ type: "network", by: by.value, value, gesture: g }, "network"),
  );
  const masterNumber = number({ "aria-label": "network budget, as a number" }, (text) =>
    post.send({ type: "network number", by: by.value, text }),
  );
  const unit = el("span", { class: "gx-unit" });
  const families = el("select", { "aria-label": "families the network budget may use" });
  families.addEventListener("change", () => post.send({ type: "families", value: families.value }));
  const weighing = el("select", { "aria-label": "how the layers' errors are compared" });
  weighing.addEventListener("change", () =>
    post.send({ type: "weighing", value: weighing.value }),
  );
  const source = el("select", { "aria-label": "what approximations are made from" });
  source.addEventListener("change", () => post.send({ type: "source", value: source.value }));
  const reading = el("span", { class: "gx-unit", text: "reading the images …" });
  const totals = el("div", { class: "gx-totals", "aria-live": "off" });
  const slideBy = el("select", { "aria-label": "what the layer faders mean" });
  slideBy.addEventListener("change", () => post.send({ type: "slide by", by: slideBy.value }));
  const strips = el("div", { class: "gx-strips", role: "list" });
  const left = el("div", { class: "gx-left" });

  root.replaceChildren(
    el(
      "div",
      { class: "gx-desk" },
      el(
        "div",
        { class: "gx-network" },
        el("label", { class: "gx-title", text: "Network budget" }),
        by,
        el(
          "span",
          { class: "gx-pair gx-wide" },
          el("span", { class: "gx-unit", text: "less" }),
          master,
          el("span", { class: "gx-unit", text: "more kept" }),
        ),
        el("span", { class: "gx-pair" }, masterNumber, unit),
        el("span", { class: "gx-pair" }, el("label", { class: "gx-unit", text: "families" }), families),
        el("span", { class: "gx-pair" }, el("label", { class: "gx-unit", text: "errors" }), weighing),
        el(
          "span",
          {
            class: "gx-pair",
            title: "Refitted: before a plan is measured or exported, its last factors are solved for "
              + "on a few hundred images. From images: errors, too, are those of the layers' outputs.",
          },
          el("label", { class: "gx-unit", text: "made" }),
          source,
          reading,
        ),
      ),
      totals,
      el(
        "div",
        { class: "gx-row" },
        el("label", { class: "gx-title", text: "Layers" }),
        el("span", { class: "gx-unit", text: "faders set" }),
        slideBy,
        el("span", {
          class: "gx-unit",
          text: "up keeps more; above the solid mark GDWS costs more MACs than the dense layer, "
            + "above the dotted one the layer takes as long as the dense one (once time is measured)",
        }),
      ),
      strips,
      left,
    ),
  );

  // -- one strip per layer -------------------------------------------------------------
  let rows = [];
  function build() {
    rows = model.get("strips").map((strip, i) => {
      const select = el(
        "button",
        {
          class: "gx-name",
          title: `${strip.name}: look at this layer`,
          onclick: () => post.send({ type: "select", layer: i }),
        },
        el("bdi", { text: strip.name }), // a long name loses its beginning, not its order
      );
      const kept = el("div", { class: "gx-kept" });
      const method = el("select", { "aria-label": `${strip.name}: method` });
      method.addEventListener("change", () =>
        post.send({ type: "method", layer: i, family: method.value }),
      );
      const axis = (k) => {
        const mark = el("div", { class: "gx-mark", title: "break-even: above it, more MACs than dense" });
        const slow = el("div", {
          class: "gx-mark gx-slow", title: "slower than dense from here, measured",
        });
        const input = fader(
          { class: "gx-fader", "aria-label": `${strip.name}: fader${k ? " r_in" : ""}` },
          (value, g) => {
            const values = row.axes
              .filter((a) => !a.box.hidden)
              .map((a) => a.input.valueAsNumber);
            values[k] = value;
            post.send({ type: "move", layer: i, values, gesture: g }, `move ${i}`);
          },
        );
        const box = el("div", { class: "gx-axis" }, mark, slow, input);
        return { box, input, mark, slow };
      };
      const numberOf = (k) =>
        number({ "aria-label": `${strip.name}: number${k ? " r_in" : ""}` }, () =>
          post.send({
            type: "number",
            layer: i,
            texts: row.numbers.filter((n) => !n.hidden).map((n) => n.value),
          }),
        );
      const toggle = (type, title) =>
        el("button", {
          class: "gx-toggle",
          title,
          text: type,
          "aria-pressed": "false",
          onclick: (event) =>
            post.send({ type, layer: i, on: event.target.getAttribute("aria-pressed") !== "true" }),
        });
      const row = {
        kept,
        method,
        axes: [axis(0), axis(1)],
        numbers: [numberOf(0), numberOf(1)],
        unit: el("span", { class: "gx-unit" }),
        share: el("div", { class: "gx-share" }),
        time: el("div", { class: "gx-time" }),
        lock: toggle("lock", "lock: stays as it is when the network budget moves"),
        skip: toggle("skip", "skip: stays dense whatever the network budget says"),
      };
      row.node = el(
        "div",
        { class: "gx-strip", role: "listitem", "data-layer": strip.name },
        select,
        el("div", { class: "gx-size", text: strip.size }),
        el(
          "div",
          { class: "gx-bars", title: "MACs: outline dense, filled kept" },
          el("div", { class: "gx-dense", style: `height:${strip.height * 100}%` }, kept),
        ),
        row.share,
        row.time,
        method,
        el("div", { class: "gx-axes" }, ...row.axes.map((a) => a.box)),
        el("div", { class: "gx-numbers" }, ...row.numbers, row.unit),
        el("div", { class: "gx-toggles" }, row.lock, row.skip),
      );
      return row;
    });
    strips.replaceChildren(...rows.map((row) => row.node));
    left.textContent = model.get("left_alone");
  }

  function show() {
    const state = model.get("state");
    if (!state.rows) return;
    options(by, state.network.meanings, state.network.by);
    options(families, state.network.families, state.network.family);
    options(weighing, state.network.weighings, state.network.weighing);
    // A network that is calibrated on images has weights of its own.
    weighing.closest(".gx-pair").hidden = state.network.source === "data";
    options(source, state.network.sources, state.network.source);
    source.disabled = state.network.reading;
    reading.hidden = !state.network.reading;
    options(slideBy, state.meanings, state.by);
    const seq = Math.max(state.seq, acknowledged);
    if (!post.ahead("network", seq)) put(master, state.network.position);
    put(masterNumber, state.network.number);
    unit.textContent = state.network.unit;
    totals.replaceChildren(
      ...state.totals.map(([label, before, after, share]) =>
        el(
          "div",
          { class: "gx-total", "data-total": label },
          el("span", { class: "gx-unit", text: label }),
          el("span", { class: "gx-before", text: before ? `${before} → ` : "" }),
          el("strong", { text: after }),
          el("span", { class: "gx-unit", text: share }),
        ),
      ),
    );
    state.rows.forEach((now, i) => {
      const row = rows[i];
      if (!row) return;
      const strip = model.get("strips")[i];
      row.node.classList.toggle("gx-selected", i === state.selected);
      row.node.classList.toggle("gx-larger", now.larger);
      row.node.dataset.family = now.family;
      row.kept.style.height = `${Math.min(1.35, now.kept) * 100}%`;
      options(row.method, strip.methods, now.family);
      row.axes.forEach((axis, k) => {
        axis.box.hidden = k >= now.positions.length;
        if (k < now.positions.length && !post.ahead(`move ${i}`, seq))
          put(axis.input, now.positions[k]);
        const at = k === 0 ? now.break_even : null;
        axis.mark.hidden = at === null;
        if (at !== null) axis.mark.style.setProperty("--at", at);
        const from = k === 0 ? now.slower_from : null;
        axis.slow.hidden = from === null;
        if (from !== null) axis.slow.style.setProperty("--at", from);
      });
      row.numbers.forEach((input, k) => {
        input.hidden = k >= now.numbers.length;
        if (k < now.numbers.length) put(input, now.numbers[k]);
      });
      row.unit.textContent = now.unit;
      row.share.textContent = now.share;
      row.time.textContent = now.slower ? `${now.time} ⚠ slower` : now.time;
      row.time.classList.toggle("gx-warned", now.slower);
      row.lock.setAttribute("aria-pressed", String(now.locked));
      row.skip.setAttribute("aria-pressed", String(now.skipped));
    });
    post.answered(seq);
  }

  // A message that changed nothing is only acknowledged; a slider whose move was refused goes back.
  const receive = (message) => {
    if (message.type !== "acknowledged") return;
    acknowledged = message.seq;
    show();
  };

  build();
  show();
  const rebuilt = () => {
    build();
    show();
  };
  model.on("change:strips", rebuilt);
  model.on("change:state", show);
  model.on("msg:custom", receive);

  // Arrow keys outside an input go along the front. A slider has no undo of its own, so that undo
  // works on it as well.
  const explorer = root.closest(".gx-explorer") || root;
  const keys = (event) => {
    const fader = event.target.closest("input[type=range]");
    const busy = !fader && event.target.closest("input, select, textarea, [contenteditable]");
    const key = `${event.ctrlKey || event.metaKey ? "mod+" : ""}${event.key.toLowerCase()}`;
    const walk = { arrowleft: -1, arrowright: 1 }[key];
    const step = { "mod+z": "undo", "mod+y": "redo" }[key];
    if (busy || !(step || (walk && !fader))) return;
    event.preventDefault();
    event.stopPropagation();
    post.send(walk ? { type: "walk", step: walk } : { type: step });
  };
  let home = explorer;
  // JupyterLab's commands of one key (d d deletes the cell) must not react to keys that are typed
  // here. JupyterLab handles keys first, on the document, and leaves an element alone that has the
  // focus and this attribute.
  const guard = (event) => {
    const chord = event.ctrlKey || event.metaKey || event.altKey || event.shiftKey;
    if (home.contains(event.target))
      event.target.toggleAttribute("data-lm-suppress-shortcuts", !chord);
  };
  // Figures measure their column when they are made, perhaps before it has its width. Later they
  // react only to the window's event "resize".
  const fit = new ResizeObserver(() => window.dispatchEvent(new Event("resize")));
  const attach = () => {
    home = root.closest(".gx-explorer") || root;
    home.tabIndex = 0;
    home.addEventListener("keydown", keys);
    window.addEventListener("keydown", guard, true);
    for (const box of home.querySelectorAll(".gx-column, .js-plotly-plot")) fit.observe(box);
  };
  const waiting = setTimeout(attach, 0); // the widget is put into the page after render
  return () => {
    clearTimeout(waiting);
    fit.disconnect();
    home.removeEventListener("keydown", keys);
    window.removeEventListener("keydown", guard, true);
    model.off("change:strips", rebuilt);
    model.off("change:state", show);
    model.off("msg:custom", receive);
  };
}

export default { render };
