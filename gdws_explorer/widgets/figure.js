// A plotly figure that opens fast: the five megabytes of plotly are sent once for all figures of a
// page, and they are loaded when the first figure is drawn.
//
// anywidget gives every model two seconds to be ready and ignores all later messages of a model
// that was not. Five megabytes of JavaScript take longer than that on a busy machine. Therefore
// this model is ready at once, stores the kernel's messages, and repeats them after plotly loaded.

const SHARED = Symbol.for("gdws_explorer plotly");
const SAID = ["addTraces", "deleteTraces", "moveTraces", "restyle", "relayout", "update", "animate"]
  .concat(["removeLayoutProps", "removeTraceProps"])
  .map((what) => `_py2js_${what}`);

// The promise of plotly's module; the figure that carries the code fulfils it.
function plotly() {
  if (!globalThis[SHARED]) {
    const shared = {};
    shared.module = new Promise((resolve, reject) => Object.assign(shared, { resolve, reject }));
    globalThis[SHARED] = shared;
  }
  return globalThis[SHARED];
}

// code: plotly's module, gzipped, or nothing.
function load(code) {
  const shared = plotly();
  if (code?.byteLength && !shared.asked) {
    shared.asked = true;
    unpacked(code).then(shared.resolve, shared.reject);
  }
  return shared.module;
}

async function unpacked(code) {
  const stream = new Blob([code]).stream().pipeThrough(new DecompressionStream("gzip"));
  const text = await new Response(stream).arrayBuffer();
  const url = URL.createObjectURL(new Blob([text], { type: "text/javascript" }));
  try {
    return calm(await import(/* webpackIgnore: true */ url));
  } finally {
    URL.revokeObjectURL(url);
  }
}

// plotly's view marks the kernel's changes with a property that plotly.js reads as an unknown
// attribute, so that it draws everything again; and it answers each change with all defaults, which
// are not used here. With a mark that is not enumerable and without answers, a cursor moves and the
// points are not drawn again. A range that the user selects on an axis of parallel coordinates is
// still reported, because no other event reports it. Only this copy of the module is changed.
function calm(module) {
  const view = module.FigureView?.prototype;
  if (!view?.perform_render) return module;
  const { perform_render: render, handle_plotly_restyle: restyled } = view;
  const nothing = () => {};
  for (const name of ["handle_plotly_relayout", "handle_plotly_update"])
    view[name] = nothing;
  view.handle_plotly_restyle = function (change) {
    const painted = (key) => /^dimensions\[\d+\]\.constraintrange/.test(key);
    if (Object.keys(change?.[0] ?? {}).some(painted)) restyled.call(this, change);
  };
  view._sendTraceDeltas = nothing;
  view._sendLayoutDelta = nothing;
  view.perform_render = function () {
    this.model = marked(this.model);
    return render.call(this);
  };
  return module;
}

function marked(model) {
  const mark = { value: true, writable: true, configurable: true, enumerable: false };
  const get = (key) => {
    const said = model.get(key);
    for (const part of ["restyle_data", "relayout_data", "style_data"])
      if (said?.[part]) Object.defineProperty(said[part], "_doNotReportToPy", mark);
    return said;
  };
  return new Proxy(model, {
    get(target, name) {
      if (name === "get") return get;
      const value = target[name];
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

// A figure that is drawn before it is on the page has no width yet, and plotly itself measures again
// only when the window changes its size, not when a column does.
function fitted(el) {
  let width = 0;
  const sizes = new ResizeObserver(() => {
    if (el.clientWidth === width || !el.clientWidth) return;
    width = el.clientWidth;
    el._responsiveChartHandler?.();
  });
  sizes.observe(el);
  return sizes;
}

export default () => {
  let figure = null; // plotly's own widget, the same for all views of this model
  let catchUp = () => {};

  async function complete(model) {
    const module = await load(model.get("_plotly"));
    const made = module.default();
    made.initialize({ model });
    catchUp();
    return made;
  }

  return {
    initialize({ model }) {
      const late = [];
      const listeners = SAID.map((key) => [
        `change:${key}`,
        () => model.get(key) !== null && late.push([key, model.get(key)]),
      ]);
      for (const [event, listener] of listeners) model.on(event, listener);
      catchUp = () => {
        for (const [event, listener] of listeners) model.off(event, listener);
        for (const [key, value] of late) {
          model.set(key, null);
          model.set(key, value);
        }
      };
    },
    async render({ model, el }) {
      figure ??= complete(model);
      const remove = (await figure).render({ model, el });
      const sizes = fitted(el);
      return () => {
        sizes.disconnect();
        remove?.();
      };
    },
  };
};
