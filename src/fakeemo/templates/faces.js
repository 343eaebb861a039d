"use strict";
// Positions as the report packs them (fakeemo.playback.packed), faces out of them, and playing them by the clock.

const besides = JSON.parse(document.getElementById("beside").textContent);

// Give the frames: of each a list of [x, y], or null where a point is not known.
function unpack({ n, low, unit, data }) {
  const bytes = Uint8Array.from(atob(data), (character) => character.charCodeAt(0));
  const view = new DataView(bytes.buffer), frames = [];
  for (let at = 0; at < bytes.length; at += 4 * n) {
    frames.push(Array.from({ length: n }, (_, i) => {
      const x = view.getUint16(at + 4 * i, true), y = view.getUint16(at + 4 * i + 2, true);
      return x === 65535 ? null : [low[0] + unit * x, low[1] + unit * y];
    }));
  }
  return frames;
}

const fixed = (points) => points.map((point) => point.map((value) => value.toFixed(4)));

// The text of an SVG path of straight lines.
function polyline(points, closed = false) {
  return points.length ? `M${fixed(points).join("L")}${closed ? "Z" : ""}` : "";
}

// A smooth curve through all points (Catmull-Rom), with corners at its ends.
function smooth(points) {
  const at = (i) => points[Math.min(points.length - 1, Math.max(0, i))];
  const control = (i, sign) => [0, 1].map((axis) => at(i)[axis] + (sign * (at(i + 1)[axis] - at(i - 1)[axis])) / 6);
  let text = `M${fixed([points[0]])}`;
  for (let i = 1; i < points.length; i++) text += `C${fixed([control(i - 1, 1), control(i, -1), points[i]]).join(" ")}`;
  return text;
}

// Each point as a line of no length, which a round cap makes a dot.
const dots = (points) => points.map((point) => `M${fixed([point])}h0`).join("");

function element(name, attributes = {}, parent = null) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  parent?.append(made);
  return made;
}

// The viewBox that holds all points, with room around.
function frameOf(points, room) {
  const xs = points.map((point) => point[0]), ys = points.map((point) => point[1]);
  const least = [Math.min(...xs), Math.min(...ys)], most = [Math.max(...xs), Math.max(...ys)];
  const margin = room * Math.max(most[0] - least[0], most[1] - least[1]);
  return [least[0] - margin, least[1] - margin, most[0] - least[0] + 2 * margin, most[1] - least[1] + 2 * margin];
}

// Play frames by the clock, again and again. `show` draws a frame and says in words what it is.
function transport(root, show) {
  const button = root.querySelector("button.play"), slider = root.querySelector("input");
  const speed = root.querySelector("select");
  const pause = 0.6; // seconds at the last frame
  let times = [0], at = 0, running = 0, second = 0, before = 0;

  function go(frame) {
    at = frame;
    slider.value = frame;
    slider.setAttribute("aria-valuetext", show(frame));
  }
  function tick(now) {
    second += (Number(speed.value) * (now - before)) / 1000;
    before = now;
    if (second > times[times.length - 1] + pause) second = 0;
    let frame = second < times[at] ? 0 : at;
    while (frame + 1 < times.length && times[frame + 1] <= second) frame++;
    if (frame !== at) go(frame);
    running = requestAnimationFrame(tick);
  }
  function stop() {
    cancelAnimationFrame(running);
    running = 0;
    button.textContent = "Play";
  }
  function play() {
    stop();
    if (times.length < 2) return;
    if (at === times.length - 1) go(0);
    second = times[at];
    before = performance.now();
    running = requestAnimationFrame(tick);
    button.textContent = "Pause";
  }
  button.addEventListener("click", () => (running ? stop() : play()));
  slider.addEventListener("input", () => { stop(); go(Number(slider.value)); });
  return {
    load(seconds, frame = 0) {
      stop();
      times = seconds.length ? seconds : [0];
      slider.max = times.length - 1;
      button.disabled = slider.disabled = times.length < 2;
      go(frame);
    },
    play,
    stop,
    again: () => go(at),
  };
}
