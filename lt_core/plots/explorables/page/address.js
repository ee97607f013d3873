// What a reader has chosen stands in the address of the page, and a button takes it back.

// The address of the page holds the state of the first figure of a kind, as "#kind=values".
// `read()` is what stands there, as texts; `came(read)` is told when a reader goes elsewhere.
function addressOf(stage, came) {
  const { kind } = stage.root.dataset, mark = `#${kind}=`;
  const first = document.querySelector(`figure[data-kind="${kind}"]`) === stage.root;
  const read = () => (first && location.hash.startsWith(mark)
    ? location.hash.slice(mark.length).split(",") : []);
  window.addEventListener("hashchange", () => came(read()));
  return {
    read,
    write(values) {
      const hash = values ? mark + values.join(",") : location.pathname + location.search;
      if (first) history.replaceState(history.state, "", hash);
    },
  };
}

// A figure whose state is its controls, whole numbers up to `max`: kept in the address, with
// a button that puts them back.
function keep(stage, controls) {
  const now = () => controls.map((control) => control.value), start = now();
  const put = (values) => controls.forEach((control, i) => { control.value = values[i]; });
  let written = String(start);
  function from(texts) {
    const values = texts.map(Number);
    const known = values.length === controls.length && controls.every(({ max }, i) =>
      Number.isInteger(values[i]) && values[i] >= 0 && values[i] <= max);
    if (known) put(values);
    return known;
  }
  const address = addressOf(stage, from), redraw = stage.redraw;
  if (from(address.read())) requestAnimationFrame(() => stage.root.scrollIntoView());
  stage.redraw = () => {
    if (String(now()) !== written) address.write(now());
    written = String(now());
    redraw();
  };
  stage.controls.append(button("Reset", () => {
    put(start);
    address.write(null);
  }, { class: "lt-reset" }));
}
