/* Draws one Plotly figure in `root`, follows the page's theme and width, and moves through the
   steps of its sliders. A step holds only what differs from the first: traces and layout. */
function mountFigure(root) {
  root.dataset.ready = "yes";
  const spec = JSON.parse(root.querySelector(".av-data").textContent);
  const plot = root.querySelector(".av-plotly");
  const config = { displayModeBar: false, doubleClick: "reset", responsive: false };

  function themed(layout) {
    const style = getComputedStyle(root);
    const colour = (name) => style.getPropertyValue(name).trim();
    const [ink, soft, grid, line] = ["--av-ink", "--av-soft", "--av-grid", "--av-line"].map(colour);
    const look = layout.template.layout;
    look.font.color = ink;
    look.hoverlabel = { bgcolor: colour("--av-panel"), bordercolor: line, font: { color: ink } };
    for (const axis of [look.xaxis, look.yaxis]) {
      Object.assign(axis, { gridcolor: grid, linecolor: line, tickcolor: line, color: soft });
    }
    // Pictures keep their shape: their height follows the width.
    const shape = layout.meta;
    if (shape && shape.aspect) {
      layout.height = Math.min(plot.clientWidth, 760) * shape.aspect + shape.extra;
    }
    // A finger scrolls the page; only a mouse draws a box to zoom into.
    if (matchMedia("(pointer: coarse)").matches) layout.dragmode = false;
    layout.width = plot.clientWidth;
    return layout;
  }

  // Long values, such as pictures and maps, are kept once and pointed at.
  function value(entry) {
    if (!entry || entry.shared === undefined) return entry;
    const kept = spec.shared[entry.shared];
    return kept.levels ? rows(kept) : kept;
  }

  function rows({ levels, columns, low, high }) {
    const map = Float32Array.from(atob(levels), (letter) => {
      return low + ((high - low) * letter.charCodeAt(0)) / 255;
    });
    const count = map.length / columns;
    return Array.from({ length: count }, (_, i) => map.subarray(i * columns, (i + 1) * columns));
  }

  function unpacked(trace) {
    return Object.fromEntries(Object.entries(trace).map(([name, v]) => [name, value(v)]));
  }

  function draw() {
    const step = spec.steps ? spec.steps[position(root)] : {};
    const data = spec.data.map((trace, i) => ({ ...trace, ...(step.data || [])[i] }));
    const layout = { ...spec.layout, ...step.layout };
    // Plotly writes into what it is given: hand it copies.
    const copy = structuredClone({ data: (step.all || data).map(unpacked), layout });
    const look = themed(copy.layout);
    plot.style.minHeight = `${look.height}px`;
    if (plot.data) window.Plotly.react(plot, copy.data, look, config);
    else window.Plotly.newPlot(plot, copy.data, look, config);
  }

  function start() {
    draw();
    watchSliders(root, draw);
    watchTheme(root, draw);
    let width = plot.clientWidth;
    new ResizeObserver(() => {
      if (!plot.clientWidth || plot.clientWidth === width) return;
      width = plot.clientWidth;
      draw();
    }).observe(plot);
  }

  function missing() {
    root.querySelector(".av-missing").hidden = false;
    plot.hidden = true;
  }

  // Plotly may come with the page's head, later in the page, or not at all.
  if (window.Plotly) start();
  else if (document.readyState === "complete") setTimeout(window.Plotly ? start : missing, 0);
  else addEventListener("load", () => (window.Plotly ? start() : missing()), { once: true });
}

/* Shows one of several panels of HTML, as the sliders say. */
function mountPanels(root) {
  root.dataset.ready = "yes";
  const panels = [...root.querySelectorAll(":scope > .av-panels > .av-panel")];
  const show = () => panels.forEach((panel, i) => (panel.hidden = i !== position(root)));
  watchSliders(root, show);
  show();
}

function slidersOf(root) {
  return [...root.querySelectorAll(":scope > .av-sliders input")];
}

/* The number of the step that the sliders point at; the last slider runs fastest. */
function position(root) {
  return slidersOf(root).reduce((sum, input) => sum * (+input.max + 1) + +input.value, 0);
}

function watchSliders(root, changed) {
  for (const input of slidersOf(root)) {
    const labels = JSON.parse(input.dataset.labels);
    const value = input.parentElement.querySelector(".av-value");
    const buttons = [...input.parentElement.querySelectorAll("button")];
    const tell = () => {
      if (value) value.textContent = labels[input.value];
      input.setAttribute("aria-valuetext", labels[input.value]);
      buttons.forEach((button, i) => button.setAttribute("aria-pressed", i === +input.value));
    };
    buttons.forEach((button, i) => {
      button.addEventListener("click", () => {
        input.value = i;
        input.dispatchEvent(new Event("input"));
      });
    });
    input.addEventListener("input", () => {
      tell();
      changed();
    });
    tell();
  }
}

/* Calls `changed` when the book or JupyterLab turns light or dark, for as long as `root` lives. */
function watchTheme(root, changed) {
  const observer = new MutationObserver(() => {
    if (root.isConnected) changed();
    else observer.disconnect();
  });
  observer.observe(document.documentElement, { attributeFilter: ["data-theme"] });
  observer.observe(document.body, { attributeFilter: ["data-jp-theme-light"] });
}
