// The table of videos: sort by a column, keep the rows that match. Without script it stays a plain table.
(() => {
  const section = document.getElementById("videos");
  const body = section.querySelector("tbody");
  const rows = Array.from(body.rows);
  const headings = Array.from(section.querySelectorAll("thead th"));
  const count = document.getElementById("shown");
  const controls = Array.from(section.querySelectorAll("input, select"));

  const value = (row, column) => row.cells[column].dataset.v ?? row.cells[column].textContent.trim();

  // Empty cells stand last in both directions; equal cells keep the order of the sample sheet.
  function sortBy(column, direction) {
    const numeric = headings[column].classList.contains("n");
    const compare = (a, b) => {
      const x = value(a, column), y = value(b, column);
      if (x === "" || y === "") return (x === "") - (y === "");
      return direction * (numeric ? Number(x) - Number(y) : x.localeCompare(y, "en", { numeric: true }));
    };
    body.append(...rows.slice().sort(compare));
  }

  headings.forEach((heading, column) => {
    heading.querySelector("button").addEventListener("click", () => {
      const ascending = heading.getAttribute("aria-sort") !== "ascending";
      headings.forEach((other) => other.removeAttribute("aria-sort"));
      heading.setAttribute("aria-sort", ascending ? "ascending" : "descending");
      sortBy(column, ascending ? 1 : -1);
    });
  });

  function filter() {
    let shown = 0;
    for (const row of rows) {
      const keep = controls.every((control) =>
        control.type === "search"
          ? row.textContent.toLowerCase().includes(control.value.trim().toLowerCase())
          : control.value === "" || row.dataset[control.name] === control.value);
      row.hidden = !keep;
      shown += keep;
    }
    count.textContent = `${shown} of ${rows.length} videos`;
  }
  controls.forEach((control) => control.addEventListener("input", filter));
  section.querySelector(".controls").hidden = false;
  filter();

  // Paper cannot be unfolded.
  addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((part) => { part.open = true; }));
})();
