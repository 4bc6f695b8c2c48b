// The figures: drawn by plotly in the colours of the reader's theme, in the words of the reader's language.
(async () => {
  const { axes, figures, words } = JSON.parse(document.getElementById("figures-data").textContent);
  for (const { data, published } of figures) for (const trace of [...data, ...(published?.data || [])]) trace.x = axes[trace.x];

  // plotly is kept compressed in the page; as an element with its text it is admitted by the hash in the policy.
  const packed = Uint8Array.from(atob(document.getElementById("plotly-packed").textContent), c => c.charCodeAt(0));
  const unpacked = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  const plotly = document.createElement("script");
  plotly.textContent = await new Response(unpacked).text();
  document.head.append(plotly);

  const root = document.documentElement;
  const spoken = text => root.dataset.language === "zh" && words[text] || text;
  const css = name => getComputedStyle(root).getPropertyValue(name).trim();

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
      if (trace.type === "bar" && trace.orientation !== "h") copy.x = trace.x.map(spoken);
      return copy;
    });
    const titled = given => ({ ...given, text: spoken(given?.text), font: { size: 13, color: muted } });
    const axis = given => ({ ...given, title: titled(given.title), gridcolor: rule, linecolor: rule, zerolinecolor: muted, zerolinewidth: 1, automargin: true });
    const legend = figure.layout.showlegend === false ? 0 : Math.ceil(data.length / Math.max(1, Math.floor(width / 165)));
    // Above bars, so that it leaves the room below to their names.
    const side = figure.layout.legend?.yanchor === "bottom" ? "t" : "b";
    const margin = { ...figure.layout.margin, [side]: figure.layout.margin[side] + 24 * legend };
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
      // Every name stands below its bars, on its side where there are many.
      const ticks = given.type === "category" ? { dtick: 1 } : { tickangle: 0, nticks: Math.max(to - from < 0.5 ? 2 : 3, Math.floor(width * (to - from) / 110)) };
      layout[name] = { ...axis(given), ...(name[0] === "x" ? ticks : {}) };
    }
    return [data, layout];
  }

  // What a listener needs of a figure: each trace's last point, or all of its bars.
  function described(figure) {
    const said = (value, format) => typeof value !== "number" ? value : /%/.test(format) ? `${(100 * value).toFixed(1)}%` : value.toPrecision(3);
    const { xaxis, yaxis } = figure.layout;
    return figure.data.filter(trace => trace.type !== "heatmap").map(trace => {
      if (trace.orientation === "h") return trace.y.map((name, i) => `${name} ${said(trace.x[i], "%")}`).join(", ");
      if (trace.mode === "markers") return `${trace.name} ${said(trace.x[0], xaxis.tickformat)}`;
      if (trace.type === "bar") return `${trace.name} ${trace.y.map((y, i) => `${trace.x[i]} ${said(y, yaxis.tickformat)}`).join(", ")}`;
      return `${trace.name} ${said(trace.y.findLast(y => y !== null), yaxis.tickformat)}`;
    }).join("; ");
  }

  const slots = [...document.querySelectorAll(".slot:not(.empty)")];
  function put(place, figure, paper, title) {
    if (place.querySelector(".still, .waiting")) place.replaceChildren();
    const [data, layout] = restyle(figure, paper || place.clientWidth);
    Plotly.react(place, data, { ...layout, width: paper }, { displayModeBar: false, responsive: true, scrollZoom: false });
    place.setAttribute("role", "img");
    place.setAttribute("aria-label", `${title}; ${described(figure)}`);
  }
  function leave(place, english, chinese) {
    const said = Object.assign(document.createElement("p"), { className: "waiting" });
    said.append(...bilingual(english, chinese));
    Plotly.purge(place);
    place.removeAttribute("role");
    place.removeAttribute("aria-label");
    place.replaceChildren(said);
  }
  function draw(slot, paper) {
    const chosen = [...slot.querySelectorAll("button[aria-pressed=true]")].map(button => button.dataset.option);
    const figure = figures.find(f => f.group === slot.dataset.group && chosen.every(option => f.choice.includes(option)));
    const place = slot.querySelector(".plot"), theirs = slot.querySelector(".theirs");
    const title = `${slot.querySelector("figcaption").innerText}: ${chosen.join("; ")}`;
    if (figure) put(place, figure, paper, title);
    else leave(place, "Not in this run: see Missing, under Data and its flaws.", "本次运行没有：见“数据及其缺陷”中的缺失。");
    // It has no width until it is shown.
    if (!theirs?.offsetParent) return;
    if (figure?.published) put(theirs, figure.published, paper, `R88, ${title}`);
    else {
      const shown = figures.find(f => f.group === slot.dataset.group && f.published).choice;
      leave(theirs, `The broker report does not show this choice. It shows: ${shown.join(" · ")}`, `研报没有这一选项的图，有的是：${shown.map(option => words[option] || option).join(" · ")}`);
    }
  }
  for (const slot of slots) {
    slot.addEventListener("click", event => {
      const pressed = event.target.closest(".switch button");
      if (!pressed) return;
      for (const button of pressed.parentElement.children) button.setAttribute("aria-pressed", String(button === pressed));
      draw(slot);
    });
    // One at a time, so that the page answers while they are drawn.
    await new Promise(setTimeout);
    draw(slot);
  }

  const redraw = paper => slots.forEach(slot => draw(slot, paper));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => redraw());
  document.addEventListener("redraw", () => redraw());
  // On paper: light, and as wide as a sheet.
  addEventListener("beforeprint", () => { root.dataset.printing = ""; redraw(1000); });
  addEventListener("afterprint", () => { delete root.dataset.printing; redraw(); });
})();
