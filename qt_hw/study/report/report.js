"use strict";

// Plots. Legends stand below the plotting area, so the height depends on how many entries fit
// side by side; names beside the plot are left out where the screen is too narrow for them.
const NARROW = 560, ENTRY = 21, LETTER = 6.3, HANDLE = 52;

function legendHeight(plot, width) {
  if (plot.legend.entries === 0) return 0;
  const column = plot.legend.longest * LETTER + HANDLE;
  const columns = Math.max(1, Math.floor(width / column));
  return Math.ceil(plot.legend.entries / columns) * ENTRY + 12;
}

function layoutOf(plot, width) {
  const narrow = width < NARROW, right = narrow ? 12 : 12 + plot.beside;
  const legend = legendHeight(plot, width - right - 55);
  const layout = {
    font: { size: 12, color: "#1a1a1a", family: getComputedStyle(document.body).fontFamily },
    paper_bgcolor: "#fff", plot_bgcolor: "#fff", hovermode: "closest", dragmode: false,
    margin: { l: 55, r: right, t: 34, b: 60 + legend, pad: 2 },
    height: plot.height + legend + 92,
    legend: {
      orientation: "h", x: 0, xanchor: "left", y: 0, yanchor: "bottom", yref: "container",
      xref: "container", font: { size: 12 }, maxheight: 0.9,
    },
    ...structuredClone(plot.layout),
  };
  if (narrow && plot.beside) layout.annotations = [];
  if (turned(plot, width)) Object.assign(layout, turnedLayout(plot));
  return layout;
}

// A heat map with many columns is turned on narrow screens, so that its numbers keep their room.
function tracesOf(plot, width) {
  return plot.data.map((trace) => {
    if (trace.type !== "heatmap" || !turned(plot, width)) return trace;
    const cells = trace.x.map((_, column) => trace.z.map((row) => row[column]));
    return { ...trace, x: trace.y, y: trace.x, z: cells, showscale: false,
      hovertemplate: trace.hovertemplate.replace("%{y}<br>%{x}", "%{x}<br>%{y}") };
  });
}

function turned(plot, width) {
  const [trace] = plot.data;
  return width < NARROW && trace.type === "heatmap" && trace.x.length > 4;
}

function turnedLayout(plot) {
  const { xaxis, yaxis } = plot.layout, [trace] = plot.data;
  return {
    xaxis: { ...yaxis, autorange: true, side: "top", tickangle: -90 },
    yaxis: { ...xaxis, autorange: "reversed" },
    height: 210 + 26 * trace.x.length,
  };
}

function drawPlots() {
  const config = { displaylogo: false, responsive: false, displayModeBar: "hover",
    modeBarButtonsToRemove: ["lasso2d", "select2d"] };
  const plots = [...document.querySelectorAll(".plot")].map((place) => ({
    place, width: 0,
    content: JSON.parse(document.getElementById(`${place.id}-data`).textContent),
  }));
  for (const plot of plots) {
    plot.width = plot.place.clientWidth;
    const layout = { ...layoutOf(plot.content, plot.width), width: plot.width };
    Plotly.newPlot(plot.place, tracesOf(plot.content, plot.width), layout, config);
  }
  const fit = () => {
    for (const plot of plots) {
      const width = plot.place.clientWidth;
      if (width === plot.width || width === 0) continue;
      plot.width = width;
      const layout = { ...layoutOf(plot.content, width), width };
      Plotly.react(plot.place, tracesOf(plot.content, width), layout, config);
    }
  };
  window.addEventListener("resize", () => requestAnimationFrame(fit));
}

// Tables: a click on a header sorts by it, another click turns the order round.
function keyOf(row, column) {
  const cell = row.cells[column];
  if (cell.dataset.value !== undefined) return Number(cell.dataset.value);
  return cell.classList.contains("number") ? Infinity : cell.textContent;
}

function compared(a, b) {
  return typeof a === "number" && typeof b === "number"
    ? (a === b ? 0 : a - b) : String(a).localeCompare(String(b), "en", { numeric: true });
}

function sortBy(table, head) {
  const descending = head.getAttribute("aria-sort") === "ascending";
  for (const other of table.tHead.rows[0].cells) other.setAttribute("aria-sort", "none");
  head.setAttribute("aria-sort", descending ? "descending" : "ascending");
  const rows = [...table.tBodies[0].rows], column = head.cellIndex;
  rows.sort((a, b) => (descending ? -1 : 1) * compared(keyOf(a, column), keyOf(b, column)));
  table.tBodies[0].append(...rows);
}

function filterBy(field) {
  const table = document.getElementById(field.dataset.table);
  const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  for (const row of table.tBodies[0].rows) {
    const text = row.textContent.toLowerCase();
    row.hidden = !words.every((word) => text.includes(word));
    shown += row.hidden ? 0 : 1;
  }
  document.querySelector(`output[data-count="${table.id}"]`).value = `${shown} rows`;
}

for (const table of document.querySelectorAll("table.sortable")) {
  for (const head of table.tHead.rows[0].cells) {
    head.querySelector("button").addEventListener("click", () => sortBy(table, head));
  }
}
for (const field of document.querySelectorAll("input[data-table]")) {
  field.addEventListener("input", () => filterBy(field));
}
if (document.querySelector(".plot")) drawPlots();
