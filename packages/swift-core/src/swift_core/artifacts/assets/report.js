"use strict";
// Draws the charts of a report with uPlot from the JSON in the page; colours follow the page's light or dark scheme.
(() => {
  const charts = JSON.parse(document.getElementById("chart-data").textContent);
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const figure = (value) => {
    if (value == null) return "–";
    const rounded = Number(value.toPrecision(4));
    const isSmall = rounded !== 0 && Math.abs(rounded) < 1e-3;
    return isSmall ? rounded.toExponential() : rounded.toString();
  };
  const drawn = [];

  const axis = (options) => ({
    stroke: colour("--quiet"),
    grid: { stroke: colour("--line"), width: 1 },
    ticks: { stroke: colour("--line"), width: 1 },
    font: "12px system-ui, sans-serif",
    ...options,
  });

  const line = (label) => ({
    label,
    stroke: colour(label === "held out" ? "--second" : "--accent"),
    width: 2,
    spanGaps: true,
    points: { show: label === "held out" || undefined, size: 7, fill: colour("--panel") },
    value: (_, value) => figure(value),
  });

  // A flat line sits in the middle of a range of its own size.
  const range = (_, low, high) =>
    low === high ? [low - (Math.abs(low) || 1) / 2, high + (Math.abs(high) || 1) / 2] : uPlot.rangeNum(low, high, 0.1, true);

  const draw = (place) => {
    const chart = charts[Number(place.dataset.chart)];
    const labels = Object.keys(chart.series);
    const options = {
      width: Math.max(place.clientWidth, 200),
      height: 220,
      scales: { x: { time: false }, y: { range } },
      axes: [axis({}), axis({ size: 64, values: (_, ticks) => ticks.map(figure) })],
      series: [{ label: "step" }, ...labels.map(line)],
    };
    place.replaceChildren();
    return new uPlot(options, [chart.steps, ...labels.map((label) => chart.series[label])], place);
  };

  const drawAll = () => {
    drawn.splice(0).forEach((plot) => plot.destroy());
    document.querySelectorAll(".chart").forEach((place) => drawn.push(draw(place)));
  };

  drawAll();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
  let waiting = 0;
  addEventListener("resize", () => {
    clearTimeout(waiting);
    waiting = setTimeout(drawAll, 150);
  });
})();
