"use strict";
(async () => {
  const { axes, figures } = JSON.parse(document.getElementById("figures-data").textContent);
  for (const figure of figures) for (const trace of figure.data) trace.x = axes[trace.x];

  // plotly is kept compressed in the page; as an element with its text it is admitted by the hash in the policy.
  const packed = Uint8Array.from(atob(document.getElementById("plotly-packed").textContent), c => c.charCodeAt(0));
  const unpacked = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  const plotly = document.createElement("script");
  plotly.textContent = await new Response(unpacked).text();
  document.head.append(plotly);

  const css = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  function restyle(figure, width) {
    const ink = css("--ink"), muted = css("--muted"), rule = css("--rule"), paper = css("--paper");
    const color = hue => css(`--hue-${hue}`);
    const data = figure.data.map(trace => {
      const hue = color(trace.meta.hue), copy = { ...trace };
      if (trace.line) copy.line = { ...trace.line, color: hue };
      if (trace.marker) copy.marker = { ...trace.marker, color: hue };
      if (trace.error_x) copy.error_x = { ...trace.error_x, color: hue };
      // From the background to the ink: light to dark on paper, dark to light on black.
      if (trace.type === "heatmap") copy.colorscale = [[0, paper], [0.6, hue], [1, ink]];
      if (trace.error_y) copy.error_y = { ...trace.error_y, color: ink };
      return copy;
    });
    const titled = given => ({ ...given, font: { size: 13, color: muted } });
    const axis = given => ({ ...given, title: titled(given.title), gridcolor: rule, linecolor: rule, zerolinecolor: muted, zerolinewidth: 1, automargin: true });
    const legend = figure.layout.showlegend === false ? 0 : Math.ceil(data.length / Math.max(1, Math.floor(width / 165)));
    const margin = { ...figure.layout.margin, b: figure.layout.margin.b + 24 * legend };
    const layout = {
      ...figure.layout,
      height: figure.layout.height + 24 * legend,
      margin,
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: css("--sans"), size: 13, color: ink },
      hoverlabel: { bgcolor: paper, bordercolor: rule, font: { color: ink, size: 12 } },
      legend: { ...figure.layout.legend, font: { size: 12, color: ink } },
      shapes: (figure.layout.shapes || []).map(shape => ({ ...shape, line: { ...shape.line, color: color(0) } })),
    };
    for (const name of Object.keys(layout).filter(key => /^[xy]axis/.test(key))) {
      const given = layout[name], [from, to] = given.domain || [0, 1];
      const ticks = { tickangle: 0, nticks: Math.max(to - from < 0.5 ? 2 : 3, Math.floor(width * (to - from) / 110)) };
      layout[name] = { ...axis(given), ...(name[0] === "x" ? ticks : {}) };
    }
    return [data, layout];
  }

  const slots = [...document.querySelectorAll(".slot")];
  function draw(slot) {
    const chosen = [...slot.querySelectorAll("button[aria-pressed=true]")].map(button => button.dataset.option);
    const matches = figures.filter(f => f.group === slot.dataset.group && chosen.every(option => f.choice.includes(option)));
    const place = slot.querySelector(".plot");
    if (place.querySelector(".waiting")) place.replaceChildren();
    if (!matches.length) {
      const said = Object.assign(document.createElement("p"), { className: "waiting", textContent: "Not in this run: see Missing, under Data and its flaws." });
      Plotly.purge(place);
      place.replaceChildren(said);
      return;
    }
    const [data, layout] = restyle(matches[0], place.clientWidth);
    Plotly.react(place, data, layout, { displayModeBar: false, responsive: true, scrollZoom: false });
  }
  for (const slot of slots) {
    slot.addEventListener("click", event => {
      if (!event.target.matches(".switch button")) return;
      for (const button of event.target.parentElement.children) button.setAttribute("aria-pressed", String(button === event.target));
      draw(slot);
    });
    draw(slot);
  }
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => slots.forEach(draw));
})();
