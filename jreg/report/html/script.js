"use strict";
// Sorts the table of settings and shows a setting in all charts. Without it the page has all the same in it.
(() => {
  const page = document.documentElement, said = document.getElementById("said");
  page.classList.add("js");
  for (const button of document.querySelectorAll("button[disabled]")) button.disabled = false;

  // A number where the cell has one; infinities and empty cells have places too.
  const value = (cell) => {
    const text = cell.textContent.trim(), number = Number(text.replace("inf", "Infinity"));
    return text === "" ? null : Number.isNaN(number) ? text : number;
  };
  const before = (a, b) => {
    if (a === null || b === null) return (a === null) - (b === null);
    if (typeof a === "number" && typeof b === "number") return a - b;
    return String(a).localeCompare(String(b), undefined, { numeric: true });
  };

  const table = document.getElementById("settings-table");
  if (table) {
    const body = table.tBodies[0], ranked = [...body.rows], heads = [...table.querySelectorAll("th[data-sort]")];
    heads.forEach((head, column) => head.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const keys = new Map(ranked.map((row) => [row, value(row.cells[column])]));
      // Rows of equal values stay in the order of their rank, and those without a value are last.
      const sorted = [...ranked].sort((a, b) => {
        const empty = keys.get(a) === null || keys.get(b) === null, order = before(keys.get(a), keys.get(b));
        return down && !empty ? -order : order;
      });
      body.append(...sorted);
      said.textContent = `sorted by ${head.textContent}, ${down ? "descending" : "ascending"}`;
    }));
  }

  let chosen = null;
  const pick = (setting) => {
    chosen = setting === chosen ? null : setting;
    for (const part of document.querySelectorAll("[data-s]")) {
      const hot = part.dataset.s === chosen;
      part.classList.toggle("hot", hot);
      // What is drawn last lies on top.
      if (hot && part.tagName === "path") part.parentNode.append(part);
      const button = part.querySelector("button[aria-pressed]");
      if (button) button.setAttribute("aria-pressed", String(hot));
    }
    said.textContent = chosen === null ? "no setting is shown" : `setting ${chosen} is shown in all charts`;
  };
  document.addEventListener("click", (event) => {
    const part = event.target.closest("svg [data-s], tbody th button[aria-pressed]");
    if (part) pick(part.closest("[data-s]").dataset.s);
  });

  // On paper nothing can be opened.
  const closed = () => [...document.querySelectorAll("details:not([open])")];
  let opened = [];
  addEventListener("beforeprint", () => { opened = closed(); for (const part of opened) part.open = true; });
  addEventListener("afterprint", () => { for (const part of opened) part.open = false; });
})();
