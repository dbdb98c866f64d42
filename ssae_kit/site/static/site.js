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
  Plotly.newPlot(drawn, data, layout, look);
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
      one.setAttribute("aria-valuetext", text);
      if (one.nextElementSibling) one.nextElementSibling.textContent = text;
    });
    const point = points[controls.map((one) => one.value).join(",")];
    words.textContent = point.words;
    drawn.setAttribute("aria-label", point.words);
    const Plotly = await plotly();
    const layout = { ...point.figure.layout, template };
    Plotly.react(drawn, point.figure.data, layout, look);
  }
  controls.forEach((one) => one.addEventListener("input", show));
  show();
}

document.addEventListener("DOMContentLoaded", () => {
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
