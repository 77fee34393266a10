// Keeps the page up to date and draws its charts. The server renders every section; this puts the new ones in the place of
// the old ones, so that focus, open details and selections stay.
"use strict";
(() => {
  const HEIGHT = 148;
  const live = document.getElementById("live");

  // Sections

  const key = (node) => (node && node.dataset ? node.dataset.key : undefined);

  function morph(old, fresh) {
    if (old.nodeType !== fresh.nodeType || old.nodeName !== fresh.nodeName) return old.replaceWith(fresh);
    if (old.nodeType !== Node.ELEMENT_NODE) {
      if (old.data !== fresh.data) old.data = fresh.data;
      return;
    }
    for (const { name, value } of [...fresh.attributes]) {
      if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    }
    for (const { name } of [...old.attributes]) {
      // A reader has opened these.
      const opened = name === "open" && old.nodeName === "DETAILS";
      if (!fresh.hasAttribute(name) && !opened) old.removeAttribute(name);
    }
    // The chart in it is not the server's.
    if (!old.classList.contains("plot")) morphChildren(old, fresh);
  }

  function morphChildren(old, fresh) {
    let next = old.firstChild;
    for (const child of [...fresh.childNodes]) {
      if (key(child) !== undefined) {
        let same = next;
        while (same && key(same) !== key(child)) same = same.nextSibling;
        if (!same) {
          old.insertBefore(child, next);
          continue;
        }
        while (next !== same) {
          const gone = next;
          next = next.nextSibling;
          gone.remove();
        }
      } else if (!next || key(next) !== undefined) {
        old.insertBefore(child, next);
        continue;
      }
      const after = next.nextSibling;
      morph(next, child);
      next = after;
    }
    while (next) {
      const gone = next;
      next = next.nextSibling;
      gone.remove();
    }
  }

  function update({ title, sections, charts }) {
    restore();
    for (const [id, html] of Object.entries(sections)) {
      const parsed = document.createElement("template");
      parsed.innerHTML = html;
      const old = document.getElementById(id);
      const fresh = parsed.content.firstElementChild;
      if (old && fresh && !old.isEqualNode(fresh)) morph(old, fresh);
    }
    document.title = title;
    if (charts) data = charts;
    draw();
    for (const [id, { chart }] of plots) readout(id, chart.cursor.idx);
    document.dispatchEvent(new CustomEvent("paceline:update"));
  }

  // Figures, as the server writes them

  const decimals = (value) => (Math.abs(value) < 10 ? Math.round(value * 10) / 10 : Math.round(value));
  const number = (value) => (value > 0 && value < 0.05 ? value.toPrecision(1) : decimals(value).toLocaleString("en"));
  function seconds(value) {
    if (value === 0) return "0 s";
    if (value < 1) return `${Math.round(value * 1000)} ms`;
    if (value < 60) return `${decimals(value)} s`;
    const whole = Math.round(value);
    const two = (unit, name, part, short) => {
      const rest = Math.floor((whole % unit) / part);
      return `${Math.floor(whole / unit)} ${name}${rest ? ` ${rest} ${short}` : ""}`;
    };
    if (whole < 3600) return two(60, "min", 1, "s");
    return whole < 86400 ? two(3600, "h", 60, "min") : two(86400, "d", 3600, "h");
  }
  function bytes(value) {
    const units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let unit = 0;
    for (; Math.round(value) >= 1024 && unit < units.length - 1; unit++) value /= 1024;
    return `${number(value)} ${units[unit]}`;
  }
  const FORMATS = { seconds, bytes, number };
  // Steps between the lines of a chart, in seconds and in bytes.
  const TIME_STEPS = [
    0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200,
    14400, 21600, 43200, 86400, 172800, 432000, 864000,
  ];
  const BYTE_STEPS = Array.from({ length: 40 }, (_, power) => 2 ** power);
  const STEPS = { seconds: TIME_STEPS, bytes: BYTE_STEPS };

  // Charts

  const DASHES = [[], [7, 3], [2, 3], [9, 3, 2, 3], [4, 2], [1, 2]];
  const plots = new Map();
  const source = document.getElementById("charts");
  let data = source && source.textContent ? JSON.parse(source.textContent) : { times: [], charts: [] };

  const theme = () => {
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name).trim();
    return {
      lines: [0, 1, 2, 3, 4, 5].map((at) => colour(`--s${at}`)),
      areas: [0, 1, 2, 3, 4, 5].map((at) => colour(`--f${at}`)),
      limit: colour("--limit"),
      text: colour("--muted"),
      grid: colour("--grid"),
      font: `11px ${style.getPropertyValue("--sans")}`,
    };
  };

  // Of stacked series, each value is drawn on top of those before it. The sum of all comes first, so that the others are
  // painted over it.
  function columns(chart) {
    if (!chart.stacked) return chart.series.map((series) => series.values);
    const sums = data.times.map(() => 0);
    const stacked = chart.series.map(({ values }) => values.map((value, at) => (sums[at] += value || 0)));
    return stacked.reverse();
  }

  const limits = (chart) => [...new Set(chart.series.map((series) => series.limit).filter((limit) => limit !== null))];

  function values(chart) {
    const flat = data.times.map(() => null);
    const lines = limits(chart).map((limit) => flat.map(() => limit));
    return [data.times, ...columns(chart), ...lines];
  }

  // What a chart is built from. If it is the same, its values alone are replaced.
  const shape = (chart) => JSON.stringify([chart.stacked, chart.series.map((series) => series.name), limits(chart).length]);

  function options(chart, width) {
    const colours = theme();
    const count = chart.series.length;
    const format = FORMATS[chart.unit];
    const line = (_, at) => {
      const nth = chart.stacked ? count - 1 - at : at;
      const colour = chart.stacked ? colours.areas : colours.lines;
      const stroke = colour[nth % colour.length];
      const fill = chart.stacked ? stroke : count === 1 ? `${stroke}1f` : undefined;
      const dash = chart.stacked ? [] : DASHES[nth % DASHES.length];
      return { stroke, fill, dash, width: chart.stacked ? 0 : 1.75, points: { show: false } };
    };
    const limit = () => ({ stroke: colours.limit, width: 1, dash: [3, 3], points: { show: false } });
    const axis = {
      stroke: colours.text,
      font: colours.font,
      grid: { stroke: colours.grid, width: 1 },
      ticks: { show: false },
    };
    return {
      width,
      height: HEIGHT,
      padding: [8, 6, 0, 0],
      legend: { show: false },
      scales: { y: { range: (_, low, high) => [0, high > 0 ? high * 1.06 : 1] } },
      cursor: { y: false, points: { show: !chart.stacked, size: 6 }, drag: { x: false, y: false }, sync: { key: "time" } },
      series: [{}, ...chart.series.map(line), ...limits(chart).map(limit)],
      axes: [
        { ...axis, size: 24, space: 64, values: (_, times) => times.map(minute) },
        {
          ...axis,
          grid: { ...axis.grid },
          size: 62,
          space: 34,
          incrs: STEPS[chart.unit],
          values: (_, marks) => marks.map(format),
        },
      ],
      hooks: { setCursor: [(plot) => readout(chart.id, plot.cursor.idx)] },
    };
  }

  const minute = (time) => new Date(time * 1000).toISOString().slice(11, 16);
  const second = (time) => new Date(time * 1000).toISOString().slice(11, 19);

  function draw(anew) {
    for (const [id, plot] of plots) {
      if (anew || !plot.place.isConnected || !data.charts.some((chart) => chart.id === id)) {
        plot.observer.disconnect();
        plot.chart.destroy();
        plots.delete(id);
      }
    }
    for (const chart of data.charts) {
      const place = document.querySelector(`[data-chart="${chart.id}"]`);
      if (!place) continue;
      let plot = plots.get(chart.id);
      if (plot && plot.shape !== shape(chart)) {
        plot.observer.disconnect();
        plot.chart.destroy();
        plot = undefined;
      }
      if (plot) {
        plot.chart.setData(values(chart));
        continue;
      }
      const built = new uPlot(options(chart, place.clientWidth), values(chart), place);
      const observer = new ResizeObserver(() => built.setSize({ width: place.clientWidth, height: HEIGHT }));
      observer.observe(place);
      plots.set(chart.id, { chart: built, place, observer, shape: shape(chart) });
    }
  }

  // While the pointer is over a chart, the legends have the values of that time.
  const replaced = new Map();

  function restore() {
    for (const [cell, text] of replaced) cell.textContent = text;
    replaced.clear();
  }

  function readout(id, at) {
    const chart = data.charts.find((chart) => chart.id === id);
    const legend = document.querySelector(`[data-legend="${id}"]`);
    if (!chart || !legend) return;
    const cells = legend.querySelectorAll(".now");
    const texts = [at, ...chart.series].map((series, nth) => {
      if (at === null || at === undefined) return undefined;
      if (nth === 0) return second(data.times[at]);
      const value = series.values[at];
      return value === null || value === undefined ? "–" : FORMATS[chart.unit](value);
    });
    cells.forEach((cell, nth) => {
      if (texts[nth] === undefined) {
        if (replaced.has(cell)) cell.textContent = replaced.get(cell);
        replaced.delete(cell);
      } else {
        if (!replaced.has(cell)) replaced.set(cell, cell.textContent);
        cell.textContent = texts[nth];
      }
    });
  }

  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => draw(true));
  draw();

  // Updates

  const RETRY_MS = 10000;
  let events;
  let retry;

  function say(state, text) {
    live.dataset.state = state;
    live.textContent = text;
  }

  function listen() {
    clearTimeout(retry);
    events = new EventSource(document.body.dataset.events);
    events.addEventListener("open", () => say("live", "live"));
    events.addEventListener("update", (event) => update(JSON.parse(event.data)));
    events.addEventListener("error", () => {
      say("lost", "not updated: connecting");
      // The browser tries again by itself, unless the answer was none.
      if (events.readyState === EventSource.CLOSED) retry = setTimeout(listen, RETRY_MS);
    });
  }

  function pause() {
    clearTimeout(retry);
    events.close();
    say("lost", "paused");
  }

  // Nobody looks at a hidden page.
  document.addEventListener("visibilitychange", () => (document.hidden ? pause() : listen()));
  listen();
})();
