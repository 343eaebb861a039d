// Generation mode: all networks' genuine and fake expressions, played together.
{
  const section = document.getElementById("generated");
  const brows = [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]], nose = [11, 12, 13, 14, 15];
  const closed = [[[16, 17, 18, 19], [19, 20, 21, 16]], [[22, 23, 24, 25], [25, 26, 27, 22]],
    [[28, 29, 30, 31, 32], [32, 33, 34, 35, 28]]]; // lids and lips, upper and lower
  const single = [10, 36, 37, 38, 39]; // tip of the nose, cheeks, temples

  function outlines(points) {
    const of = (part) => smooth(part.map((i) => points[i]));
    const open = [...brows, nose].map(of).join("");
    const shut = closed.map(([upper, lower]) => of(upper) + of(lower).replace(/^M[^C]*/, "")).join("");
    return { open, shut, dots: dots(single.map((i) => points[i])) };
  }

  const models = Object.entries(JSON.parse(document.getElementById("expressions").textContent)).map(([name, made]) => {
    const [neutral] = unpack(made.neutral), [head] = unpack(made.head);
    const box = frameOf([...neutral, ...head], 0.04).map((value) => value.toFixed(3)).join(" ");
    const [panel] = Array.from(section.querySelectorAll(".beside")).filter((found) => found.dataset.model === name);
    const faces = made.faces.map((packed, k) => {
      const svg = panel.querySelectorAll("svg")[k];
      svg.setAttribute("viewBox", box);
      const rest = outlines(neutral);
      element("path", { class: "rest", d: smooth(head) }, svg);
      element("path", { class: "rest", d: rest.open + rest.shut }, svg);
      const paths = Object.fromEntries(["shut", "open", "dots"].map((part) => [part, element("path", { class: part }, svg)]));
      return { frames: unpack(packed), paths };
    });
    return { neutral, faces, fps: made.fps, apex: made.apex / made.fps };
  });

  const longest = models.reduce((a, b) => (b.faces[0].frames.length / b.fps > a.faces[0].frames.length / a.fps ? b : a));
  const times = longest.faces[0].frames.map((_, i) => i / longest.fps);
  const [factor, difference] = section.querySelectorAll("[name=movement], [name=difference]");
  const now = section.querySelector(".now");

  function show(frame) {
    for (const { neutral, faces, fps } of models) {
      const [genuine, fake] = faces.map(({ frames }) => frames[Math.min(frames.length - 1, Math.round(times[frame] * fps))]);
      [genuine, fake].forEach((points, k) => {
        const shown = points.map((point, i) => point.map((value, axis) => {
          const middle = (genuine[i][axis] + fake[i][axis]) / 2;
          const moved = middle + Number(difference.value) * (value - middle);
          return neutral[i][axis] + Number(factor.value) * (moved - neutral[i][axis]);
        }));
        for (const [part, d] of Object.entries(outlines(shown))) faces[k].paths[part].setAttribute("d", d);
      });
    }
    const said = `${times[frame].toFixed(2)} s of ${times[times.length - 1].toFixed(2)} s` +
      `, movement × ${factor.value}, difference × ${difference.value}`;
    now.textContent = said;
    return said;
  }

  section.querySelector(".live").hidden = false;
  const playing = transport(section.querySelector(".transport"), show);
  // Before it plays, and on paper, the moment of greatest movement: the middle one of the networks.
  const moments = models.map((model) => model.apex).sort((a, b) => a - b);
  const moment = moments[Math.floor(moments.length / 2)];
  playing.load(times, times.findLastIndex((time) => time <= moment + 1e-9));
  for (const select of [factor, difference]) select.addEventListener("input", playing.again);
}
