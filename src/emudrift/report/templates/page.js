"use strict";
// Sortable tables (mouse and keyboard) and copy buttons. All text is also available without JavaScript.
document.documentElement.classList.add("scripts");

function sortValue(cell) {
  if (cell.dataset.value !== undefined) return Number(cell.dataset.value);
  const text = cell.textContent.trim();
  const number = /^[+−-]?[\d,]+(\.\d+)?(e[+-]?\d+)?/.exec(text);
  return number ? Number(number[0].replace("−", "-").replaceAll(",", "")) : text;
}

function compare(a, b) {
  // Non-numbers, "nan" included, come last.
  const [x, y] = [typeof a === "number" && !Number.isNaN(a), typeof b === "number" && !Number.isNaN(b)];
  if (x && y) return a - b;
  if (x !== y) return x ? -1 : 1;
  return String(a).localeCompare(String(b), "en", { numeric: true });
}

function sortBy(table, column) {
  const heads = [...table.tHead.rows[0].cells];
  const rising = heads[column].getAttribute("aria-sort") !== "ascending";
  heads.forEach((head) => head.removeAttribute("aria-sort"));
  heads[column].setAttribute("aria-sort", rising ? "ascending" : "descending");
  const body = table.tBodies[0];
  const rows = [...body.rows].map((row) => [sortValue(row.cells[column]), row]);
  rows.sort((a, b) => (rising ? compare(a[0], b[0]) : compare(b[0], a[0])));
  body.append(...rows.map(([, row]) => row));
}

for (const table of document.querySelectorAll("table.sortable")) {
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    button.addEventListener("click", () => sortBy(table, column));
    head.append(button);
  });
}

for (const button of document.querySelectorAll("button.copy")) {
  button.addEventListener("click", async () => {
    const source = document.getElementById(button.dataset.copy);
    const paragraphs = [...source.querySelectorAll("p")].map((each) => each.textContent);
    const said = button.nextElementSibling;
    try {
      await navigator.clipboard.writeText(paragraphs.length ? paragraphs.join("\n\n") : source.textContent);
      said.textContent = "copied";
    } catch {
      getSelection().selectAllChildren(source);
      said.textContent = "selected: press Ctrl+C or ⌘C to copy";
    }
  });
}

// What is folded is printed open.
const folded = () => document.querySelectorAll("details:not([open])");
let unfolded = [];
addEventListener("beforeprint", () => {
  unfolded = [...folded()];
  unfolded.forEach((each) => (each.open = true));
});
addEventListener("afterprint", () => unfolded.forEach((each) => (each.open = false)));
