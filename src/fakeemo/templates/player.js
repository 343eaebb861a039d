// One video: its landmarks move beside its score and the tracker's PSR. Its data come from the script beside the page.
{
  const dialog = document.getElementById("player");
  const part = (selector) => dialog.querySelector(selector);
  const rows = Array.from(document.querySelectorAll("#videos tbody tr"));
  const rowOf = new Map(rows.map((row) => [row.dataset.id, row]));
  const loaded = new Map();
  globalThis.fakeemo = { video: (found) => loaded.set(found.id, found) };

  function load(id) {
    if (loaded.has(id)) return Promise.resolve(loaded.get(id));
    return new Promise((resolve, reject) => {
      const script = document.createElement("script");
      script.src = `${besides.videos}/${encodeURIComponent(id)}.js`;
      script.onload = () => { script.remove(); (loaded.has(id) ? resolve(loaded.get(id)) : reject()); };
      script.onerror = () => { script.remove(); reject(); };
      document.head.append(script);
    });
  }

  // dlib's 68 points: jaw, brows, bridge and wings of the nose; eyes and lips are closed.
  const range = (from, to) => Array.from({ length: to - from }, (_, i) => from + i);
  const unclosed = [range(0, 17), range(17, 22), range(22, 27), range(27, 31), range(31, 36)];
  const closed = [range(36, 42), range(42, 48), range(48, 60), range(60, 68)];
  const midpoints = [[0, 17], [26, 16], [2, 29], [14, 29]];

  const face = part("svg.face"), lines = element("path", { class: "lines" }, face);
  const marks = element("path", { class: "dots" }, face), box = element("path", { class: "box" }, face);
  let frames = [], states = [], video = null, cursor = null, scale = null;

  function show(frame) {
    const points = frames[frame] ?? [];
    const seen = points.length && points.every(Boolean);
    const at = (part) => part.map((i) => points[i]);
    lines.setAttribute("d", seen ? unclosed.map((p) => polyline(at(p))).join("") + closed.map((p) => polyline(at(p), true)).join("") : "");
    const middles = seen ? midpoints.map(([a, b]) => [0, 1].map((axis) => (points[a][axis] + points[b][axis]) / 2)) : [];
    marks.setAttribute("d", seen ? dots([...at(besides.kept), ...middles]) : "");
    const [low, high] = video.boxes[frame] ?? [];
    box.setAttribute("d", low ? polyline([low, [high[0], low[1]], high, [low[0], high[1]]], true) : "");
    box.setAttribute("data-state", states[frame] ?? "");
    if (cursor) cursor.setAttribute("d", `M${scale.x(frame)} 12V132`);
    const psr = video.psr[frame];
    const said = states.length
      ? `frame ${frame} of ${states.length - 1}, ${video.time[frame].toFixed(2)} s: ${states[frame]}` +
        (psr === null ? "" : `, PSR ${psr}`) + (seen ? "" : ", no landmarks")
      : "no frame";
    part(".now").textContent = said;
    return said;
  }

  // PSR over time on a log scale, the threshold, and a strip of states below.
  function drawCourse() {
    const svg = part("svg.psr");
    svg.replaceChildren();
    cursor = null;
    const known = video.psr.filter((psr) => psr !== null), n = states.length;
    if (!n) return;
    const threshold = video.threshold ?? 8;
    const low = Math.log(Math.max(1, Math.min(threshold / 2, ...known)));
    const high = Math.log(Math.max(2 * threshold, ...known) * 1.1);
    const end = video.time[n - 1] || 1;
    scale = {
      x: (frame) => (36 + (436 * video.time[frame]) / end).toFixed(1),
      y: (psr) => (112 - (100 * (Math.log(Math.max(psr, Math.exp(low))) - low)) / (high - low)).toFixed(1),
    };
    const text = (x, y, words, anchor) => { element("text", { x, y, "text-anchor": anchor }, svg).textContent = words; };
    for (const level of [1, 3, 10, 30, 100, 300, 1000].filter((level) => Math.log(level) >= low && Math.log(level) <= high)) {
      element("path", { class: "rule", d: `M36 ${scale.y(level)}H472` }, svg);
      text(30, Number(scale.y(level)) + 4, level, "end");
    }
    element("path", { class: "threshold", d: `M36 ${scale.y(threshold)}H472` }, svg);
    let curve = "";
    video.psr.forEach((psr, i) => {
      if (psr !== null) curve += `${i && video.psr[i - 1] !== null ? "L" : "M"}${scale.x(i)} ${scale.y(psr)}`;
    });
    element("path", { class: "curve", d: curve }, svg);
    let first = 0;
    for (const [state, length] of video.states) {
      const from = Number(scale.x(first)), to = first + length < n ? Number(scale.x(first + length)) : 475;
      element("rect", { x: from, y: 118, width: Math.max(2, to - from), height: 12, "data-state": state }, svg);
      first += length;
    }
    text(36, 148, "0 s", "middle");
    text(472, 148, `${end.toFixed(2)} s`, "end");
    text(254, 164, "PSR of the tracker, and its state", "middle");
    cursor = element("path", { class: "cursor" }, svg);
    const least = known.length ? `lowest ${Math.min(...known)}, highest ${Math.max(...known)}` : "not run";
    svg.setAttribute("aria-label", `PSR over time: ${least}; threshold ${threshold}`);
  }

  const playing = transport(part(".transport"), show);

  function describe(row) {
    const { id, score, outcome, emotion, pair } = row.dataset;
    const [, subject, , split, label, , called] = Array.from(row.cells, (cell) => cell.textContent.trim());
    part("#player-title").textContent = id;
    part(".facts").textContent =
      `Subject ${subject || "unknown"}, ${emotion}, ${split}. Label: ${label || "unknown"}.` + (pair ? ` Paired with ${pair}.` : "");
    part(".verdict").textContent = score === ""
      ? "No score."
      : `Score ${Number(score).toFixed(3)}, probability of fake: called ${called}, ${outcome}` +
        (split === "train" ? " (but fitted on)." : ".");
    const strip = part(".strip");
    strip.hidden = score === "";
    strip.querySelector(".dot").style.left = `${100 * score}%`;
    strip.setAttribute("aria-label", `Score ${score} between 0, genuine, and 1, fake`);
    const sheet = part(".sheet"), where = `${besides.sheets}/${encodeURIComponent(id)}.jpg`;
    sheet.querySelector("a").href = where;
    sheet.querySelector("img").src = where;
    sheet.querySelector("img").alt = `Contact sheet of ${id}`;
    sheet.querySelector("img").hidden = false;
    sheet.querySelector("figcaption").textContent = `Contact sheet: ${besides.sheets}/${id}.jpg`;
  }
  part(".sheet img").addEventListener("error", (event) => {
    event.target.hidden = true;
    part(".sheet figcaption").textContent = "The contact sheets are not beside this page.";
  });

  const empty = (id) => ({ id, time: [], psr: [], states: [], boxes: [] });

  async function play(id) {
    const row = rowOf.get(id);
    if (!row) return;
    describe(row);
    video = empty(id);
    states = frames = [];
    drawCourse();
    playing.load([]);
    if (!dialog.open) dialog.showModal();
    dialog.scrollTop = 0;
    let problem = "";
    try {
      const found = await load(id);
      if (part("#player-title").textContent !== id) return; // another was opened meanwhile
      frames = unpack(found.points);
      video = { ...found, boxes: unpack(found.box).map((corners) => (corners.every(Boolean) ? corners : [])) };
      states = found.states.flatMap(([state, length]) => Array(length).fill(state));
      const all = [...frames.flat(), ...video.boxes.flat()].filter(Boolean);
      if (all.length) face.setAttribute("viewBox", frameOf(all, 0.05).map((value) => value.toFixed(1)).join(" "));
      else problem = "No landmarks: no face was found in this video.";
    } catch {
      problem = `Its landmarks are not beside this page (${besides.videos}/${id}.js): open the page where the run wrote it.`;
    }
    drawCourse();
    const counts = [...new Set(states)].map((state) => `${state} ${states.filter((other) => other === state).length}`);
    part(".states").textContent = problem || `Frames: ${counts.join(", ")}.`;
    playing.load(video.time);
    if (!matchMedia("(prefers-reduced-motion: reduce)").matches) playing.play();
  }

  // Before and after in the table as it is sorted and filtered.
  function step(by) {
    const shown = Array.from(document.querySelectorAll("#videos tbody tr:not([hidden])"));
    const next = shown[shown.indexOf(rowOf.get(part("#player-title").textContent)) + by];
    if (next) play(next.dataset.id);
  }
  part(".previous").addEventListener("click", () => step(-1));
  part(".next").addEventListener("click", () => step(1));
  part(".close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", playing.stop);
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });

  document.querySelector("#videos tbody").addEventListener("click", (event) => {
    const row = event.target.closest("tr");
    if (row && !String(getSelection())) play(row.dataset.id);
  });
  for (const row of rows) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = row.cells[0].textContent;
    button.setAttribute("aria-haspopup", "dialog");
    row.cells[0].replaceChildren(button);
  }
  for (const mark of document.querySelectorAll("[data-video]")) {
    const row = rowOf.get(mark.dataset.video);
    if (!row) continue;
    const title = element("title", {}, mark);
    title.textContent = `${row.dataset.id}, ${row.dataset.outcome}${row.dataset.score ? `, score ${Number(row.dataset.score).toFixed(2)}` : ""}`;
    mark.addEventListener("click", () => play(row.dataset.id));
  }
  document.querySelector("#videos .live").hidden = false;
}
