// Pull against push on each logit, and what one class gives to and gets from each other.

// The ends of a logarithmic axis that shows the largest values and at most four decades.
function decades(values) {
  const top = Math.max(...values, Number.MIN_VALUE);
  const seen = values.filter((each) => each > top * 1e-4);
  return logarithmic(Math.min(top / 10, ...seen), top);
}

function triangle(x, y, size, up, attributes) {
  const s = up ? size : -size;
  return svg("path", { d: `M${x} ${y - s}l${s} ${1.8 * s}h${-2 * s}Z`, ...attributes });
}

function startGradients(stage) {
  const { data } = stage;
  const ranks = data.names.map((_, k) => k);
  const frames = data.negative.map((negative) => ({
    negative,
    pull: negative.map(total),
    push: ranks.map((k) => total(negative.map((row) => row[k]))),
  }));
  const moment = slider(stage, { label: "Moment", max: data.labels.length - 1, value: data.start,
    show: (at) => data.labels[at], play: data.labels.length > 1 });
  const chosen = slider(stage, { label: "Class", max: ranks.length - 1, value: ranks.length - 1,
    show: (k) => data.names[k] });
  keep(stage, [moment, chosen]);

  const forces = decades(frames.flatMap(({ pull, push }) => [...pull, ...push]));
  const pairs = decades(data.negative.flat(2));
  const every = Math.ceil(ranks.length / 10);
  const x = linear(-0.6, ranks.length - 0.4,
    ranks.filter((k) => k % every === 0).map((k) => [k, String(k)]));
  const radius = ranks.length > 40 ? 2.2 : 4.6;

  let panels = [];
  stage.drawing.addEventListener("click", (event) => {
    const box = stage.drawing.getBoundingClientRect();
    const at = event.clientX - box.left, below = event.clientY - box.top;
    const hit = panels.find(({ left, top, width, height }) =>
      at >= left && at <= left + width && below >= top && below <= top + height);
    if (!hit) return;
    const k = Math.round((at - hit.left) / hit.width * (ranks.length + 0.2) - 0.6);
    chosen.value = Math.max(0, Math.min(ranks.length - 1, k));
  });

  // Two values a class on a log axis, joined; a value below the axis stands on its floor.
  function draw(box, first, second, shape) {
    const column = box.across(0.5) - box.across(-0.5), k = chosen.value;
    box.area.append(svg("rect", { class: "lt-shade lt-column", x: box.across(k - 0.5), y: 0,
      width: column, height: box.height }));
    const up = (value) => Math.max(6, Math.min(box.height - 6, box.up(Math.max(value, 1e-300))));
    for (const j of ranks) {
      if (first[j] === null) continue;
      const at = box.across(j), color = `var(--rank-${j})`;
      box.area.append(svg("path", { d: `M${at} ${up(first[j])}V${up(second[j])}`,
        style: `stroke:${color}`, "stroke-width": 1.5, "stroke-opacity": 0.55 }));
      box.area.append(shape(at, up(second[j]), false, { class: "lt-paper lt-open", style: `stroke:${color}` }));
      box.area.append(shape(at, up(first[j]), true, { style: `fill:${color}` }));
    }
  }
  const pointer = (at, y, up, attributes) => triangle(at, y, radius, up, attributes);
  const dot = (at, y, up, attributes) =>
    svg("circle", { cx: at, cy: y, r: radius * 0.85, ...attributes });

  const grey = { style: "fill:var(--soft)" };
  const hollow = { class: "lt-paper lt-open", style: "stroke:var(--soft)" };
  legend(stage, [
    [triangle(13, 7, 5, true, grey), "pull of a class's own samples on its logit"],
    [triangle(13, 7, 5, false, hollow), "push of all other classes' samples on it"],
    [svg("circle", { cx: 13, cy: 7, r: 4.5, ...grey }), "push that the chosen class gives"],
    [svg("circle", { cx: 13, cy: 7, r: 4.5, ...hollow }), "push that it gets"],
  ]);

  return (drawing, width) => {
    const wide = width >= 600, { negative, pull, push } = frames[moment.value];
    const k = chosen.value, others = ranks.filter((j) => j !== k);
    const given = negative[k].map((each, j) => (j === k ? null : each));
    const got = negative.map((row, j) => (j === k ? null : row[k]));
    const left = 44, top = 30, height = wide ? 230 : 180;
    const breadth = wide ? (width - 2 * left - 24) / 2 : width - left - 8;
    const second = wide ? { left: width - breadth - 2, top } : { left, top: top + height + 78 };
    drawing.setAttribute("height", second.top + height + 40);
    const boxes = [
      { left, top, width: breadth, height, x, y: forces, xLabel: "class rank",
        title: "Pull and push on each logit, Σ |gradient|" },
      { ...second, width: breadth, height, x, y: pairs, xLabel: "class rank",
        title: `${data.names[k]} and each other class, Σ |gradient|` },
    ];
    panels = boxes;
    draw(panel(drawing, boxes[0]), pull, push, pointer);
    draw(panel(drawing, boxes[1]), given, got, dot);
    const largest = (values) => others.reduce((best, j) => (values[j] > values[best] ? j : best), others[0]);
    const to = largest(given), from = largest(got);
    return `${data.labels[moment.value]}, ${data.names[k]}: pulled up by ${short(pull[k])}, pushed ` +
      `down by ${short(push[k])}, pull / push ${push[k] > 0 ? short(pull[k] / push[k]) : "–"}. ` +
      `It pushes ${data.names[to]} most (${short(given[to])}); ` +
      `${data.names[from]} pushes it most (${short(got[from])}).`;
  };
}

mount("gradients", startGradients);
