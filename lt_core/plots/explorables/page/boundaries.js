// Decision regions of three classes, and what one sample does to the logits.

const STRENGTHS = [["gamma", "γ  margin of ICB"], ["lambda", "λ  GALA"],
  ["tau", "τ  logit adjustment"]];
const PRESETS = [["softmax", {}], ["margin γ = 0.8", { gamma: 0.8 }], ["GALA λ = 1", { lambda: 1 }],
  ["adjusted τ = 1", { tau: 1 }]];

// The boundaries as they are, and those of plain softmax.
const NOW = { class: "lt-ink", "stroke-width": 2 };
const PLAIN = { class: "lt-soft" };

// A corner of the plane that lies in a class's own region at every setting, for its name.
const CORNERS = [["left", "bottom"], ["right", "bottom"], ["right", "top"]];

// A class is known by its shape too: circle, square, triangle.
function symbol(k, x, y, size, attributes) {
  if (k === 0) return svg("circle", { cx: x, cy: y, r: size, ...attributes });
  const d = k === 1
    ? `M${x - size} ${y - size}h${2 * size}v${2 * size}h${-2 * size}Z`
    : `M${x} ${y - 1.3 * size}l${1.25 * size} ${2.2 * size}h${-2.5 * size}Z`;
  return svg("path", { d, ...attributes });
}

// Shares of 200 points, which have no more digits than that.
const percent = (share) => `${(100 * share).toFixed(1)} %`;

const signed = (value, digits = 2) => {
  const text = Math.abs(value).toFixed(digits);
  return (Number(text) === 0 ? "" : value < 0 ? "−" : "+") + text;
};

function startBoundaries(stage) {
  const { data } = stage;
  const imbalance = slider(stage, { label: "Imbalance factor", max: data.factors.length - 1,
    value: data.start, show: (at) => String(data.factors[at]) });
  const strengths = Object.fromEntries(STRENGTHS.map(([name, label]) => [name,
    slider(stage, { label, max: 2, step: 0.1, value: 0, show: (value) => value.toFixed(1) })]));
  const samples = () => data.counts[imbalance.value].flatMap((count, y) =>
    Array.from({ length: count }, (_, i) => [y, i]));
  const nameOf = ([y, i]) => `${data.names[y]} ${i + 1}`;
  const sample = slider(stage, { label: "Sample", max: samples().length - 1, value: data.sample,
    show: (at) => nameOf(samples()[Math.min(at, samples().length - 1)]) });
  const presets = html("div", { class: "lt-control lt-presets", role: "group", "aria-label": "Presets" });
  for (const [label, values] of PRESETS) {
    const button = html("button", { type: "button" }, label);
    button.addEventListener("click", () => {
      for (const name in strengths) strengths[name].value = values[name] ?? 0;
    });
    presets.append(button);
  }
  stage.controls.append(presets);

  let places = [];
  stage.drawing.addEventListener("click", (event) => {
    const box = stage.drawing.getBoundingClientRect();
    const away = places.map(([x, y]) =>
      Math.hypot(x - event.clientX + box.left, y - event.clientY + box.top));
    const nearest = away.indexOf(Math.min(...away));
    if (away[nearest] < 20) sample.value = nearest;
  });

  function drawPlane(drawing, size, state) {
    const at = (value) => (value / data.limit + 1) / 2 * size;
    const place = ([a, b]) => [at(a), at(-b)];
    const outline = (corners) =>
      "M" + corners.map((corner) => place(corner).map((v) => v.toFixed(1)).join(" ")).join("L") + "Z";
    const plane = svg("svg", { x: 0, y: 22, width: size, height: size });
    state.regions.forEach((corners, k) => corners.length && plane.append(svg("path",
      { d: outline(corners), class: "lt-region", style: `fill:var(--rank-${k})` })));
    for (const [regions, look] of [[state.plainRegions, PLAIN], [state.regions, NOW]]) {
      regions.forEach((corners) => corners.length && plane.append(svg("path",
        { d: outline(corners), ...look })));
    }
    places = [];
    for (const [y, i] of samples()) {
      const [x, up] = place(data.training[y][i]);
      places.push([x, up + 22]);
      plane.append(symbol(y, x, up, 3.6, { style: `fill:var(--rank-${y})`, class: "lt-point" }));
    }
    const [x, y] = places[sample.value];
    plane.append(svg("circle", { cx: x, cy: y - 22, r: 9, class: "lt-ink", "stroke-width": 2 }));
    CORNERS.forEach(([side, end], k) => write(plane, side === "left" ? 8 : size - 8,
      end === "top" ? 18 : size - 8, `${data.names[k]} ${percent(state.recall[k])}`,
      { "text-anchor": side === "left" ? "start" : "end" }));
    drawing.append(plane);
    write(drawing, 0, 13, "Decision regions, and the share found", { class: "lt-strong" });
  }

  function drawGradient(drawing, left, top, width, height, state) {
    const step = width / 3, unit = (height - 108) / 2, zero = top + 42 + unit;
    write(drawing, left, top + 13, `What ${nameOf(state.chosen)} does to each logit`,
      { class: "lt-strong" });
    drawing.append(svg("path", { class: "lt-axis", d: `M${left} ${zero}h${width}` }));
    write(drawing, left, top + 34, "pulled up", { class: "lt-quiet" });
    write(drawing, left, zero + unit + 12, "pushed down", { class: "lt-quiet" });
    state.gradient.forEach((gradient, j) => {
      const x = left + step * (j + 0.5), tip = zero + gradient * unit;
      const plain = zero + state.plainGradient[j] * unit;
      drawing.append(svg("path", { class: "lt-ink", "stroke-dasharray": "3 2",
        d: `M${x - 15} ${zero}V${plain}h30V${zero}` }));
      const head = Math.min(9, Math.abs(tip - zero)) * Math.sign(tip - zero);
      drawing.append(svg("path", { style: `fill:var(--rank-${j})`, d: `M${x - 5} ${zero}` +
        `V${tip - head}H${x - 11}L${x} ${tip}L${x + 11} ${tip - head}H${x + 5}V${zero}Z` }));
      const below = top + height - 12;
      write(drawing, x, below - 18, data.names[j], { "text-anchor": "middle" });
      write(drawing, x, below, signed(-gradient), { "text-anchor": "middle", class: "lt-strong" });
    });
  }

  // Training is repeated only for settings that were not seen before.
  const known = new Map();
  function remembered(counts, values) {
    const key = JSON.stringify([counts, values]);
    if (!known.has(key)) known.set(key, train(data.training, counts, values, data.descent));
    return known.get(key);
  }

  function solve() {
    const counts = data.counts[imbalance.value];
    if (sample.max !== samples().length - 1) sample.max = samples().length - 1;
    const values = Object.fromEntries(STRENGTHS.map(([name]) => [name, strengths[name].value]));
    const none = { gamma: 0, lambda: 0, tau: 0 };
    const plain = remembered(counts, none), trained = remembered(counts, values);
    const chosen = samples()[sample.value];
    const point = data.training[chosen[0]][chosen[1]];
    const regions = ({ weights }) => counts.map((_, k) => region(weights, k, data.limit));
    return {
      chosen, values, margin: trained.margin[chosen[0]],
      regions: regions(trained), plainRegions: regions(plain),
      gradient: gradientAt(trained.weights, point, chosen[0], trained.margin),
      plainGradient: gradientAt(trained.weights, point, chosen[0], plain.margin.map(() => [0, 0, 0])),
      recall: recall(trained.weights, data.heldOut),
    };
  }

  const mark = { y: 2, width: 12, height: 10 };
  legend(stage, [
    ...data.names.map((name, k) => [symbol(k, 13, 7, 4.5, { style: `fill:var(--rank-${k})` }), name]),
    [svg("path", { ...NOW, d: "M0 7H26" }), "boundaries now"],
    [svg("path", { ...PLAIN, d: "M0 7H26" }), "boundaries of plain softmax"],
    [svg("rect", { x: 7, ...mark, class: "lt-ink", "stroke-dasharray": "3 2" }),
      "same network, margin left out"],
  ]);

  return (drawing, width) => {
    const state = solve();
    const wide = width >= 560;
    const size = wide ? Math.round(width * 0.58) : width;
    drawPlane(drawing, size, state);
    if (wide) drawGradient(drawing, size + 28, 0, width - size - 28, size + 22, state);
    else drawGradient(drawing, 0, size + 34, width, 240, state);
    drawing.setAttribute("height", wide ? size + 24 : size + 278);
    const listed = (values, text) => data.names.map((name, k) => `${name} ${text(values[k])}`).join(", ");
    const mean = state.recall.reduce((sum, each) => sum + each, 0) / 3;
    return `Images: ${listed(data.counts[imbalance.value], String)}. ` +
      `Found on 200 held-out points a class: ${listed(state.recall, percent)}; ` +
      `mean ${percent(mean)}. Sample ${nameOf(state.chosen)}: margin ` +
      `${listed(state.margin, signed)}; update of the logits ` +
      `${listed(state.gradient, (v) => signed(-v))}.`;
  };
}

mount("boundaries", startBoundaries);
