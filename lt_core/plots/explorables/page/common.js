// Shared by the explorable figures: elements, controls, panels, and mounting.
// Text enters the page through text nodes and attributes only, never as markup.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

function html(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function write(parent, x, y, text, attributes = {}) {
  parent.append(svg("text", { x, y, ...attributes }, text));
}

const total = (values) => values.reduce((sum, each) => sum + each, 0);

// A number as a reader wants it: three significant digits.
function short(value) {
  if (value === null) return "–";
  const size = Math.abs(value);
  if (size !== 0 && (size < 0.001 || size >= 1e5)) return value.toExponential(1);
  return String(Number(value.toPrecision(3)));
}

function button(label, click, attributes = {}) {
  const made = html("button", { type: "button", ...attributes }, label);
  made.addEventListener("click", click);
  return made;
}

// A native range input. `show(value)` is its text, `change()` runs on input.
function slider(stage, { label, max, step = 1, value, show, play = false }) {
  const input = html("input", { type: "range", min: 0, max, step, value });
  const text = html("span", { class: "lt-value", "aria-hidden": "true" });
  const control = {
    max,
    get value() { return Number(input.value); },
    set value(wanted) { input.value = wanted; update(); },
  };
  function update() {
    text.textContent = show(control.value);
    input.setAttribute("aria-valuetext", text.textContent);
    stage.redraw();
  }
  input.addEventListener("input", update);
  const line = html("div", { class: "lt-control" },
    html("label", {}, html("span", { class: "lt-label" }, label), input), text);
  if (play) line.append(playButton(stage, control, () => Number(input.max)));
  stage.controls.append(line);
  update();
  return control;
}

// Steps through a slider; the readings stay silent for screen readers while it runs.
function playButton(stage, control, last) {
  let timer = null;
  function stop() {
    clearInterval(timer);
    timer = null;
    play.textContent = "Play";
    stage.status.setAttribute("aria-live", "polite");
  }
  function advance() {
    if (!play.isConnected || control.value >= last()) stop();
    else control.value += 1;
  }
  const play = button("Play", () => {
    if (timer !== null) return stop();
    if (control.value >= last()) control.value = 0;
    stage.status.setAttribute("aria-live", "off");
    play.textContent = "Pause";
    timer = setInterval(advance, 400);
  }, { class: "lt-play" });
  return play;
}

function checkbox(stage, label, checked) {
  const input = html("input", { type: "checkbox" });
  input.checked = checked;
  input.addEventListener("change", () => stage.redraw());
  stage.controls.append(
    html("div", { class: "lt-control" }, html("label", {}, input, html("span", {}, label))));
  return {
    max: 1,
    get value() { return Number(input.checked); },
    set value(wanted) { input.checked = Boolean(wanted); stage.redraw(); },
  };
}

// Scales map a value to [0, 1] and name their ticks: [[value, text, anchor], ...].
function linear(from, to, ticks) {
  return { at: (value) => (value - from) / (to - from), ticks };
}

function logarithmic(from, to) {
  const low = Math.log10(from) - 0.15, high = Math.log10(to) + 0.15, ticks = [];
  const every = Math.ceil((high - low) / 6);
  for (let power = Math.ceil(low); power <= high; power += every) {
    ticks.push([10 ** power, tenTo(power)]);
  }
  return { at: (value) => (Math.log10(value) - low) / (high - low), ticks };
}

function tenTo(power) {
  if (power >= -2 && power <= 3) return String(Number((10 ** power).toPrecision(1)));
  return "10" + [...String(power)].map((c) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[c] ?? "⁻").join("");
}

// A panel at (left, top): axes around a nested svg, which clips what is drawn in it.
function panel(parent, { left, top, width, height, title, x, y, xLabel = "" }) {
  const area = svg("svg", { x: left, y: top, width, height, class: "lt-area" });
  const across = (value) => x.at(value) * width, up = (value) => (1 - y.at(value)) * height;
  const axes = svg("g", { class: "lt-axes" });
  for (const [value, text] of y.ticks) {
    const at = top + up(value);
    axes.append(svg("path", { class: "lt-grid", d: `M${left} ${at}h${width}` }));
    write(axes, left - 6, at + 4, text, { "text-anchor": "end" });
  }
  axes.append(svg("path", { class: "lt-axis", d: `M${left} ${top + height}h${width}` }));
  for (const [value, text, anchor = "middle"] of x.ticks) {
    const at = left + across(value);
    axes.append(svg("path", { class: "lt-axis", d: `M${at} ${top + height}v4` }));
    write(axes, at, top + height + 17, text, { "text-anchor": anchor });
  }
  write(axes, left + width, top + height + 33, xLabel, { "text-anchor": "end" });
  write(axes, left, top - 9, title, { class: "lt-title" });
  parent.append(axes, area);
  return { area, across, up, width, height };
}

// A line through points; a point that is null, or not on the scale, is left out.
function line(points, attributes) {
  const kept = points.filter(([x, y]) => Number.isFinite(x) && Number.isFinite(y));
  const d = kept.map(([x, y]) => `${x.toFixed(1)} ${y.toFixed(1)}`).join("L");
  return svg("path", { d: d && "M" + d, ...attributes });
}

// One entry of the legend: a small drawing and its text.
function legend(stage, entries) {
  const list = html("ul", { class: "lt-legend" });
  for (const [shape, text] of entries) {
    const sample = svg("svg", { width: 26, height: 14, "aria-hidden": "true" }, shape);
    list.append(html("li", {}, sample, html("span", {}, text)));
  }
  stage.body.append(list);
}

// Start each figure of a kind that stands in the page and was not started yet. `start`
// builds the controls and returns draw(svg, width), which returns the readings as text.
function mount(kind, start) {
  const waiting = `figure.lt-explorable[data-kind="${kind}"]:not([data-ready])`;
  for (const root of document.querySelectorAll(waiting)) {
    root.dataset.ready = "";
    const data = JSON.parse(root.querySelector('script[type="application/json"]').textContent);
    data.colors.forEach(([onLight, onDark], k) =>
      root.style.setProperty(`--rank-${k}`, `light-dark(${onLight}, ${onDark})`));
    const picture = root.querySelector(".lt-static");
    const stage = {
      data, root, below: [],
      controls: html("div", { class: "lt-controls" }),
      body: html("div", { class: "lt-body" }),
      drawing: svg("svg", { role: "img", "aria-label": data.label, class: "lt-drawing" }),
      status: html("p", { class: "lt-status", "aria-live": "polite" }),
      redraw() { if (!pending) pending = requestAnimationFrame(paint); },
    };
    let draw = null, pending = 0, painted = 0;
    const paint = () => {
      pending = 0;
      const width = Math.floor(stage.body.clientWidth);
      if (!draw || !width) return;
      painted = width;
      stage.drawing.replaceChildren();
      stage.drawing.setAttribute("width", width);
      const text = draw(stage.drawing, width);
      if (stage.status.textContent !== text) stage.status.textContent = text;
    };
    stage.body.append(stage.drawing);
    draw = start(stage);
    picture.replaceWith(stage.controls, stage.body, ...stage.below, stage.status);
    new ResizeObserver(() => {
      if (Math.floor(stage.body.clientWidth) !== painted) stage.redraw();
    }).observe(stage.body);
    stage.redraw();
  }
}
