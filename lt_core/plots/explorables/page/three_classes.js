// Three classes to drag, the loss of a chapter beside softmax, and the share found of each.

const FARTHEST = 2.2;

const NOW = { class: "lt-ink", "stroke-width": 2 };
const BEFORE = { class: "lt-baseline", "stroke-width": 1.5, "stroke-dasharray": "5 3" };

// Shares of 200 points, which have no more digits than that.
const percent = (share) => `${(100 * share).toFixed(1)}\u00a0%`;

// A class is known by its shape too: circle, square, triangle.
function symbol(k, x, y, size, attributes) {
  if (k === 0) return svg("circle", { cx: x, cy: y, r: size, ...attributes });
  const d = k === 1
    ? `M${x - size} ${y - size}h${2 * size}v${2 * size}h${-2 * size}Z`
    : `M${x} ${y - 1.3 * size}l${1.25 * size} ${2.2 * size}h${-2.5 * size}Z`;
  return svg("path", { d, ...attributes });
}

// A number of a sentence that is a slider over `values`.
function number(name, values, value, change, show = String) {
  const input = html("input", { type: "range", min: 0, max: values.length - 1, "aria-label": name });
  const text = html("b", { "aria-hidden": "true" });
  const tell = () => {
    text.textContent = show(values[input.value]);
    input.setAttribute("aria-valuetext", text.textContent);
  };
  input.value = values.indexOf(value);
  input.addEventListener("input", () => { tell(); change(values[input.value]); });
  tell();
  return html("span", { class: "lt-number" }, text, input);
}

function startThreeClasses(stage) {
  const { data } = stage;
  const copy = (values) => values.map((each) => [...each]);
  const started = () => ({ ...data.start, strength: data.remedies[data.start.remedy].preset,
    centers: copy(data.start.centers) });
  let state = started(), guess = 50, guessing = true;

  const address = addressOf(stage, (texts) => fromAddress(texts) && changed({}, true));
  function fromAddress([remedy, ...rest]) {
    const [strength, factor, steps, ...places] = rest.map(Number);
    const known = data.remedies[remedy]?.values.includes(strength) && data.factors.includes(factor) &&
      data.steps.includes(steps) && places.length === 6 && places.every((v) => Math.abs(v) <= FARTHEST);
    if (!known) return false;
    const centers = data.names.map((_, k) => places.slice(2 * k, 2 * k + 2));
    state = { remedy, strength, factor, steps, centers };
    return true;
  }

  const presets = html("div", { class: "lt-presets", role: "group", "aria-label": "Loss" });
  const sentence = html("p", { class: "lt-sentence" });
  const question = html("div", { class: "lt-guess" });
  stage.controls.append(presets, sentence, question);
  const answer = button("Show the answer", () => { guessing = false; stage.redraw(); });
  const own = stage.root.querySelector(".lt-question");
  if (own) {
    question.append(own, answer);
    guess = null;
  }

  // Everything a reader moves comes through here.
  function changed(values, rebuilt = false) {
    state = { ...state, ...values };
    guessing = false;
    guess = null;
    const { remedy, strength, factor, steps, centers } = state;
    address.write([remedy, strength, factor, steps, ...centers.flat()]);
    if (rebuilt) build();
    stage.redraw();
  }

  for (const name of Object.keys(data.remedies)) {
    presets.append(button(name, () =>
      changed({ remedy: name, strength: data.remedies[name].preset }, true)));
  }
  presets.append(button("Reset", () => {
    changed(started(), true);
    address.write(null);
  }, { class: "lt-reset" }));

  function build() {
    for (const each of presets.querySelectorAll("button:not(.lt-reset)")) {
      each.setAttribute("aria-pressed", String(each.textContent === state.remedy));
    }
    const { words, values } = data.remedies[state.remedy];
    const sliders = {
      factor: () => number("imbalance factor", data.factors, state.factor, (factor) => changed({ factor })),
      steps: () => number("steps of training", data.steps, state.steps, (steps) => changed({ steps })),
      strength: () => number(`strength of ${state.remedy}`, values, state.strength,
        (strength) => changed({ strength })),
    };
    const text = `The head has {factor} times the points of the tail. ` +
      `After {steps} steps of training with ${words}`;
    sentence.replaceChildren(...text.split(/((?:\S+ = )?\{\w+\})/).map((part) => {
      const [, letter, name] = part.match(/^(.*)\{(\w+)\}$/) ?? [];
      return name ? html("span", { class: "lt-together" }, letter, sliders[name]()) : part;
    }));
  }

  const handles = data.names.map((name, k) => {
    const handle = html("button", { type: "button", class: "lt-handle", style: `border-color:var(--rank-${k})` }, name);
    const move = (x, y) => changed({ centers: state.centers.map((center, j) => (j !== k ? center
      : [x, y].map((v) => Math.round(20 * Math.max(-FARTHEST, Math.min(FARTHEST, v))) / 20))) });
    handle.addEventListener("keydown", (event) => {
      const arrow = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
      if (!arrow) return;
      event.preventDefault();
      move(...state.centers[k].map((v, axis) => v + 0.1 * arrow[axis]));
    });
    handle.addEventListener("pointerdown", (event) => handle.setPointerCapture(event.pointerId));
    handle.addEventListener("pointermove", (event) => {
      if (!handle.hasPointerCapture(event.pointerId)) return;
      const box = stage.drawing.getBoundingClientRect();
      const at = (pixels) => (2 * pixels / box.width - 1) * data.limit;
      move(at(event.clientX - box.left), -at(event.clientY - box.top));
    });
    return handle;
  });
  stage.body.append(...handles);

  const rows = data.names.map((name, k) => {
    const [bar, mark] = [html("span", { style: `background:var(--rank-${k})` }), html("i")];
    const [share, ratio] = [html("td"), html("td")];
    const row = html("tr", {}, html("th", { scope: "row" }, name),
      html("td", { class: "lt-bar" }, bar, mark), share, ratio);
    return { row, bar, mark, share, ratio };
  });
  const heads = ["class", "share found", "", "pull / push"].map((head) => (head
    ? html("th", { scope: "col", ...(head === "share found" && { colspan: 2 }) }, head) : null));
  stage.below.push(html("table", { class: "lt-shares" },
    html("thead", {}, html("tr", {}, ...heads.filter(Boolean))),
    html("tbody", {}, ...rows.map(({ row }) => row))));
  legend(stage, [
    [svg("path", { ...NOW, d: "M0 7H26" }), "boundaries"],
    [svg("path", { ...BEFORE, d: "M0 7H26" }), "compared with: softmax, or equal counts"],
  ]);

  function solve({ remedy, strength, factor, steps, centers }) {
    const counts = data.counts[data.factors.indexOf(factor)];
    const clip = (v) => Math.max(-data.clip, Math.min(data.clip, v));
    const points = data.offsets.map((own, k) => own.map((each) => each.map((v, axis) => clip(centers[k][axis] + v))));
    const training = points.map((own, k) => own.slice(0, counts[k]));
    const found = train(training, remedy, strength, steps, data.descent);
    return { ...found, training, recall: recall(found.weights, points.map((own) => own.slice(data.training))),
      regions: counts.map((_, k) => region(found.weights, k, data.limit)) };
  }

  // What two regions share, once, so that dashes stay dashes; the frame is no boundary.
  function boundaries(regions, place) {
    const onFrame = (one, other) => [0, 1].some((axis) =>
      one[axis] === other[axis] && Math.abs(one[axis]) >= data.limit);
    const edges = regions.flatMap((corners) => corners.map((one, i) => [one, corners[(i + 1) % corners.length]]));
    const inner = edges.filter((ends) => !onFrame(...ends)).map((ends) => ends.map(place).sort().join("L"));
    return [...new Set(inner)].map((edge) => `M${edge}`).join("");
  }

  function drawPlane(drawing, size, shown, before) {
    const at = (value) => (value / data.limit + 1) / 2 * size;
    const place = ([a, b]) => `${at(a).toFixed(1)} ${at(-b).toFixed(1)}`;
    shown.regions.forEach((corners, k) => corners.length && drawing.append(svg("path",
      { d: `M${corners.map(place).join("L")}Z`, class: "lt-region", style: `fill:var(--rank-${k})` })));
    shown.training.forEach((own, k) => own.forEach(([a, b]) => drawing.append(
      symbol(k, at(a), at(-b), 3.6, { style: `fill:var(--rank-${k})`, class: "lt-point" }))));
    drawing.append(svg("path", { d: boundaries(before.regions, place), ...BEFORE }));
    if (shown !== before) drawing.append(svg("path", { d: boundaries(shown.regions, place), ...NOW }));
    handles.forEach((handle, k) => {
      const [a, b] = state.centers[k];
      handle.style.translate = `calc(${at(a)}px - 50%) calc(${at(-b)}px - 50%)`;
      handle.setAttribute("aria-label",
        `${data.names[k]}, centre ${a.toFixed(2)} across and ${b.toFixed(2)} up: drag it, or move it with the arrow keys`);
    });
  }

  function ask(before) {
    question.hidden = !guessing;
    if (!guessing || question.firstChild) return;
    const range = number("your guess, in percent", Array.from({ length: 21 }, (_, i) => 5 * i), guess,
      (value) => { guess = value; }, (value) => `${value} %`);
    const [asked, loss] = state.remedy === "softmax"
      ? ["With equal counts softmax", "with the counts above"] : ["Plain softmax", "with the loss above"];
    question.append(html("p", {}, html("b", {}, "Predict. "), `${asked} finds ${percent(before.recall[2])} ` +
      `of the tail. What share of it is found ${loss}?`),
    range, answer);
  }

  if (fromAddress(address.read())) {
    guessing = false;
    guess = null;
    requestAnimationFrame(() => stage.root.scrollIntoView());
  }
  addEventListener("beforeprint", () => { guessing = false; stage.redraw(); });
  build();

  return (drawing, width) => {
    const softmax = state.remedy === "softmax";
    const before = solve({ ...state, remedy: "softmax", ...(softmax && { factor: 1 }) });
    ask(before);
    const shown = guessing ? before : solve(state);
    drawing.setAttribute("height", width);
    drawPlane(drawing, width, shown, before);
    rows.forEach(({ bar, mark, share, ratio }, k) => {
      bar.style.width = percent(shown.recall[k]).replace("\u00a0", "");
      mark.style.left = percent(before.recall[k]).replace("\u00a0", "");
      share.textContent = percent(shown.recall[k]);
      ratio.textContent = (shown.pull[k] / shown.push[k]).toFixed(2);
    });
    if (guessing) return softmax ? "Shown are equal counts." : "Shown is plain softmax.";
    const mean = ({ recall }) => percent(total(recall) / 3);
    return `${guess === null ? "" : `You guessed ${guess}\u00a0%. `}Of the tail ${percent(shown.recall[2])} is found, ` +
      `${softmax ? "at equal counts" : "with softmax"} ${percent(before.recall[2])}; the mean over the classes ` +
      `is ${mean(shown)} instead of ${mean(before)}.`;
  };
}

mount("three-classes", startThreeClasses);
