// The read-out of a lab: text that is read aloud, a count of the views on screen, and their width.
function render({ model, el }) {
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
  const count = (by) => { model.set("views", model.get("views") + by); model.save_changes(); };
  const see = () => { if (!seen) { seen = true; count(1); } };
  const own = (figure) => figure && region.closest(".ssae-lab")?.contains(figure);
  const drawn = (event) => { if (own(event.detail.element)) see(); };
  document.addEventListener("plotlywidget-after-render", drawn);
  let waited = 0;
  const late = setInterval(() => {
    if (seen) return;
    // It may have stood before this was listening.
    if (region.closest(".ssae-lab")?.querySelector(".js-plotly-plot")?.calcdata?.length) see();
    // A busy page gives up on a widget after 2 s, for good: the kernel then makes another figure.
    else if (++waited % 4 === 0 && waited <= 20) { model.set("retries", waited / 4); model.save_changes(); }
  }, 3000);
  let resized;
  const sized = new ResizeObserver(([{ contentRect: { width } }]) => {
    clearTimeout(resized);
    resized = setTimeout(() => {
      if (width) model.set("width", Math.floor(width));
      model.set("keeps", Boolean(region.closest(".jp-OutputArea-child")));
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
    if (seen) count(-1);
  };
}
export default { render };
