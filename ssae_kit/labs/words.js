// The read-out of a lab: text that is read aloud, a count of the views on screen, and their width.
// And hover linking in a lab of class `ssae-linked`: what has the same name, or the same code, shines.
const WORDS = ".ssae-word, mark[data-code]", POINTS = ".bars .point, .scatterlayer .point, .textpoint";
// What something stands for: its names, and from where to where its code may lie.
const plain = (text) => String(text ?? "").replace(/<[^>]*>/g, "");
const hovered = ({ text, x, y, data: { type, width } }) =>
  ({ names: type === "scatter" ? [plain(text)] : [x, y].map(String), low: x - width / 2, high: x + width / 2 });
function meaning(el) {
  const code = Number(el.closest("mark")?.dataset.code);
  if (!el.closest(".trace")) return { names: [el.textContent], low: code, high: code };
  if (el.matches(".textpoint")) return { names: [plain(el.textContent)] };
  const { trace } = el.closest(".trace").__data__[0], i = el.__data__.i;
  return hovered({ text: trace.text?.[i], x: trace.x[i], y: trace.y[i], data: trace });
}
function shine(root, { names = [], low, high } = {}) {
  for (const el of root.querySelectorAll(`${WORDS}, ${POINTS}`)) {
    const own = meaning(el), near = 1e-4 * high;
    const lit = own.names.some((name) => name && names.includes(name));
    el.classList.toggle("ssae-lit", lit || (own.low <= high + near && low <= own.high + near));
  }
}
function link(figure) {
  const root = figure.closest(".ssae-linked");
  if (!root || figure.linked) return;
  figure.linked = true;
  let last = {};
  const on = (what = {}) => shine(root, last = what);
  figure.on("plotly_hover", ({ points: [point] }) => on(hovered(point)));
  figure.on("plotly_unhover", () => on());
  figure.on("plotly_afterplot", () => shine(root, last));
  const follow = ({ type, target }) => {
    // What has the focus shines on when the page scrolls away under a mouse that rests.
    const el = type !== "focusout" && (target.closest(WORDS) ?? document.activeElement.closest(WORDS));
    on(el ? meaning(el) : {});
  };
  for (const type of ["mouseover", "mouseleave", "focusin", "focusout"]) root.addEventListener(type, follow);
}
function render({ model, el }, count) {
  const region = document.createElement("div");
  region.setAttribute("role", "status");
  region.setAttribute("aria-live", "polite");
  region.className = "ssae-words";
  el.append(region);
  const write = () => region.replaceChildren(...model.get("text").split("\n").map((line) => {
    const p = document.createElement("p");
    p.textContent = line;
    return p;
  }));
  model.on("change:text", write);
  write();
  // ipywidgets gives a slider's handle no name: take it from the label beside it.
  const name = () => {
    for (const handle of document.querySelectorAll(".ssae-lab .noUi-handle:not([aria-label])")) {
      const label = handle.closest(".widget-slider")?.querySelector(".widget-label");
      if (label) handle.setAttribute("aria-label", label.textContent);
    }
  };
  const timers = [100, 500, 1500, 4000].map((wait) => setTimeout(name, wait));
  // The lab counts as seen once its figure stands: an update of a figure not yet drawn is lost.
  let seen = false;
  const see = () => { if (!seen) { seen = true; count(model, 1); } };
  const own = (figure) => figure && region.closest(".ssae-lab")?.contains(figure);
  const drawn = ({ detail: { element } }) => { if (own(element)) { see(); link(element); } };
  document.addEventListener("plotlywidget-after-render", drawn);
  let waited = 0;
  const late = setInterval(() => {
    // It may have stood before this was listening.
    const figure = region.closest(".ssae-lab")?.querySelector(".js-plotly-plot");
    if (figure?.calcdata?.length) { see(); link(figure); }
    // A busy page gives up on a widget after 2 s, for good: the kernel then makes another figure,
    // which may be given up in its turn, though the first came late and was seen.
    else if (++waited % 4 === 0 && waited <= 20) { model.set("retries", waited / 4); model.save_changes(); }
  }, 3000);
  let resized;
  const sized = new ResizeObserver(([{ contentRect: { width } }]) => {
    clearTimeout(resized);
    resized = setTimeout(() => {
      if (width) model.set("width", Math.floor(width));
      model.set("keeps", Boolean(region.closest(".jp-NotebookPanel")));
      model.save_changes();
    }, 150);
  });
  sized.observe(region);
  return () => {
    timers.forEach(clearTimeout);
    clearInterval(late);
    sized.disconnect();
    document.removeEventListener("plotlywidget-after-render", drawn);
    model.off("change:text", write);
    if (seen) count(model, -1);
  };
}
// Once per lab and page. Views are those of this page: one that was loaded again never says goodbye.
export default () => {
  let views = 0;
  const count = (model, by) => { model.set("views", views += by); model.save_changes(); };
  return { render: (context) => render(context, count) };
};
