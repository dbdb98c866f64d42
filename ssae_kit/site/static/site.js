// Figures come alive when they come near the screen; the labs pick a stored training.
const look = { displayModeBar: false, responsive: false };
let loading;

function plotly() {
  loading ??= new Promise((done) => {
    const script = document.createElement("script");
    script.src = new URL("_static/plotly.min.js", document.baseURI);
    script.onload = () => done(window.Plotly);
    document.head.append(script);
  });
  return loading;
}

async function enliven(figure) {
  const { data, layout } = JSON.parse(figure.querySelector("script").textContent);
  const Plotly = await plotly();
  const drawn = document.createElement("div");
  drawn.setAttribute("role", "img");
  drawn.setAttribute("aria-label", figure.dataset.live);
  figure.querySelector("img")?.remove();
  figure.append(drawn);
  await Plotly.newPlot(drawn, data, layout, look);
  reachable();
}

function lab(root) {
  const { axes, points, template } = JSON.parse(root.querySelector("script").textContent);
  const [controls, values] = [[...root.querySelectorAll("input, select")], Object.values(axes)];
  const [words, figure] = [root.querySelector(".words"), root.querySelector(".figure")];
  const drawn = document.createElement("div");
  drawn.setAttribute("role", "img");
  figure.append(drawn);
  async function show() {
    controls.forEach((one, i) => {
      const text = String(values[i][one.value]);
      if (!one.nextElementSibling) return; // a list shows its choice itself
      one.setAttribute("aria-valuetext", text);
      one.nextElementSibling.textContent = text;
    });
    const point = points[controls.map((one) => one.value).join(",")];
    words.textContent = point.words;
    drawn.setAttribute("aria-label", point.words);
    const Plotly = await plotly();
    const layout = { ...point.figure.layout, template };
    await Plotly.react(drawn, point.figure.data, layout, look);
    reachable();
  }
  controls.forEach((one) => one.addEventListener("input", show));
  show();
}

// What scrolls can be reached by keyboard; what does not is no stop on the way.
function reachable() {
  document.querySelectorAll("pre, .table-wrapper, .math-wrapper, .scroll").forEach((one) => {
    if (one.scrollWidth > one.clientWidth) one.tabIndex = 0;
    else one.removeAttribute("tabindex");
  });
}

// Names that the theme leaves out.
function name(selector, attribute, value) {
  document.querySelectorAll(selector).forEach((one) => one.setAttribute(attribute, value));
}

document.addEventListener("DOMContentLoaded", () => {
  name("p.caption[role=heading]", "aria-level", "2");
  name(".sidebar-drawer", "aria-label", "Contents");
  name(".toc-drawer", "aria-label", "On this page");
  reachable();
  window.addEventListener("resize", reachable);
  document.addEventListener("toggle", reachable, true);
  const near = new IntersectionObserver(
    (seen) => seen.filter((one) => one.isIntersecting).forEach((one) => {
      near.unobserve(one.target);
      enliven(one.target);
    }),
    { rootMargin: "400px" },
  );
  document.querySelectorAll("[data-live]").forEach((figure) => near.observe(figure));
  document.querySelectorAll(".lab").forEach(lab);
});
