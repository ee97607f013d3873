// Equal beside adaptive bins for a head and a tail class, and their errors over training.

const KINDS = ["uniform", "adaptive"];
const DASHES = { uniform: "6 3", adaptive: "none", exact: "1.5 3" };
const WORDS = { uniform: "equal bins", adaptive: "adaptive bins", exact: "GHM's window" };

function startBins(stage) {
  const { data } = stage;
  const moment = slider(stage, { label: "Moment", max: data.labels.length - 1, value: data.start,
    show: (at) => data.labels[at], play: data.labels.length > 1 });
  const stretched = checkbox(stage, "Stretch the axis at both ends", true);
  keep(stage, [moment, stretched]);

  const frames = data.frames.flat();
  const highest = Math.min(1e6, Math.max(...frames.flatMap((frame) => frame.reference)));
  const density = logarithmic(0.03, highest);
  const errors = frames.flatMap((frame) => [frame.uniformError, frame.adaptiveError, frame.exactError]);
  const worst = Math.max(0.5, ...errors), unit = worst > 2.5 ? 1 : 0.5;
  const error = linear(0, worst * 1.05,
    Array.from({ length: Math.floor(worst / unit) + 1 }, (_, i) => [i * unit, String(i * unit)]));
  const last = data.labels.length - 1;
  const time = linear(-0.03 * Math.max(1, last), 1.03 * Math.max(1, last), [[0, data.labels[0], "start"],
    ...(last ? [[last, data.labels[last], "end"]] : [])]);
  // Even in the log-odds of g between the ends of the grid; what lies beyond stands on them.
  const odds = (g) => Math.log(g / (1 - g));
  const [first, final] = [odds(data.grid[0]), odds(data.grid.at(-1))];
  const axes = [
    linear(0, 1, [0, 0.25, 0.5, 0.75, 1].map((g) => [g, String(g)])),
    { at: (g) => Math.max(0, Math.min(1, (odds(g) - first) / (final - first))),
      ticks: [[1e-4, "10⁻⁴"], [0.01, "0.01"], [0.5, "0.5"], [0.99, "0.99"]] },
  ];

  function drawBins({ area, across, up, height }, frame, kind, rank) {
    const floor = height + 2, color = `var(--rank-${rank})`;
    const curve = (values) => data.grid.map((g, i) =>
      [across(g), Math.min(floor, up(Math.max(values[i], 1e-9)))]);
    const shape = curve(frame.reference);
    area.append(line([[across(0), floor], ...shape, [across(1), floor]], { class: "lt-shade" }));
    const edges = frame[kind + "Edges"];
    frame[kind].forEach((value, i) => {
      const x = across(edges[i]), y = Math.max(-2, up(value));
      area.append(svg("rect", { x, y, width: Math.max(0, across(edges[i + 1]) - x),
        height: Math.max(0, floor - y), class: "lt-bin", style: `stroke:${color};fill:${color}` }));
    });
    area.append(line(curve(frame.exact), { class: "lt-ink", "stroke-dasharray": DASHES.exact, "stroke-width": 1.5 }));
    for (const g of frame.samples) {
      area.append(svg("path", { class: "lt-ink", "stroke-opacity": 0.6, d: `M${across(g)} ${height}v-7` }));
    }
  }

  function drawErrors({ area, across, up, height }, rank) {
    area.append(svg("path", { class: "lt-soft", d: `M${across(moment.value)} 0v${height}` }));
    for (const kind of ["exact", ...KINDS]) {
      const values = data.frames.map((frame) => frame[rank][kind + "Error"]);
      const stroke = kind === "exact" ? "var(--ink)" : `var(--rank-${rank})`;
      area.append(line(values.map((value, t) => [across(t), up(value)]),
        { fill: "none", style: `stroke:${stroke}`, "stroke-width": 2, "stroke-dasharray": DASHES[kind] }));
      area.append(svg("circle", { cx: across(moment.value), cy: up(values[moment.value]), r: 3.2,
        style: `fill:${stroke}` }));
    }
  }

  const strip = (kind) => svg("path", { d: "M0 7H26", class: "lt-ink", "stroke-width": 2,
    "stroke-dasharray": DASHES[kind] });
  legend(stage, [
    [svg("rect", { x: 1, y: 2, width: 24, height: 10, class: "lt-shade" }), "reference, a kernel estimate"],
    [strip("exact"), "exact density, GHM's window"],
    [svg("path", { d: "M7 11V4M13 11V4M17 11V4", class: "lt-ink" }), "images remembered"],
    [strip("uniform"), "error of equal bins"],
    [strip("adaptive"), "error of adaptive bins"],
  ]);

  return (drawing, width) => {
    const wide = width >= 600, now = data.frames[moment.value];
    const left = 40, gap = wide ? 46 : 14, height = wide ? 130 : 110, row = wide ? height + 90 : 334;
    const breadth = wide ? (width - left - 2 * gap - 6) / 3 : (width - left - gap - 6) / 2;
    now.forEach((frame, rank) => {
      const top = 46 + rank * row;
      write(drawing, 0, top - 30, data.names[rank], { class: "lt-strong" });
      KINDS.forEach((kind, column) => {
        const y = column && !wide ? { ...density, ticks: density.ticks.map(([v]) => [v, ""]) } : density;
        drawBins(panel(drawing, { left: left + column * (breadth + gap), top, width: breadth, height,
          x: axes[stretched.value], y, xLabel: column || wide ? "g = 1 − p" : "",
          title: wide ? `density, ${WORDS[kind]}` : WORDS[kind] }), frame, kind, rank);
      });
      const place = wide ? { left: left + 2 * (breadth + gap), top, width: breadth, height }
        : { left, top: top + height + 62, width: width - left - 6, height: 90 };
      drawErrors(panel(drawing, { ...place, x: time, y: error, title: "error, nats" }), rank);
    });
    drawing.setAttribute("height", 2 * row);
    const told = now.map((frame, rank) => `${data.names[rank]}: equal bins ` +
      `${frame.uniformError.toFixed(2)}, adaptive bins ${frame.adaptiveError.toFixed(2)}, GHM's window ` +
      `${frame.exactError.toFixed(2)}`);
    return `${data.labels[moment.value]}. Mean error of the log density, in nats. ${told.join("; ")}.`;
  };
}

mount("bins", startBins);
