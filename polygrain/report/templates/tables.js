// Sorting and copying. A cell has its figures in full as data-values, a heading the names of their columns.
"use strict";

// A text in both languages; which one is seen is the style sheet's matter.
function bilingual(english, chinese) {
  return [["en", "en", english], ["zh", "zh-CN", chinese]].flatMap(([className, lang, textContent]) => [
    Object.assign(document.createElement("span"), { className, lang, textContent }),
    " ",
  ]);
}

{
  const places = new Map([...document.querySelectorAll("tbody tr")].map((row, place) => [row, place]));
  const lines = body => [...body.rows].filter(row => !row.classList.contains("block"));
  const figures = cell => JSON.parse(cell.dataset.values);
  const name = row => row.cells[0].dataset.name ?? row.cells[0].textContent;
  const key = (row, column) => column === 0 ? name(row) : figures(row.cells[column])[0];

  // Figures start with the largest, names with the first; the third press gives the order of the file back.
  function next(heading) {
    const order = heading.cellIndex === 0 ? ["ascending", "descending"] : ["descending", "ascending"];
    return order[order.indexOf(heading.getAttribute("aria-sort")) + 1] || null;
  }

  // What is missing comes last, whichever way the others are sorted.
  function compare(left, right, sign) {
    if (left === null || right === null) return (left === null) - (right === null);
    return sign * (left < right ? -1 : left > right ? 1 : 0);
  }

  function sort(heading) {
    const direction = next(heading), table = heading.closest("table"), sign = direction === "descending" ? -1 : 1;
    for (const other of table.querySelectorAll("[aria-sort]")) other.removeAttribute("aria-sort");
    if (direction) heading.setAttribute("aria-sort", direction);
    for (const body of table.tBodies) {
      const rows = lines(body).sort((a, b) => places.get(a) - places.get(b));
      if (direction) rows.sort((a, b) => compare(key(a, heading.cellIndex), key(b, heading.cellIndex), sign));
      body.append(...rows);
    }
  }

  // A text that a spreadsheet would run as a formula is quoted with ', as in the CSV files.
  function field(value) {
    if (typeof value === "number") return String(value);
    const text = (value ?? "").replace(/^(?=[=+\-@\t\r])/, "'");
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  }

  function csv(table) {
    const headings = [...table.tHead.rows].at(-1).cells;
    const names = [...headings].slice(1).flatMap(heading => JSON.parse(heading.dataset.columns));
    const rows = [...table.tBodies].flatMap(body => lines(body).map(row => [
      ...JSON.parse(body.dataset.keys), name(row), ...[...row.cells].slice(1).flatMap(figures),
    ]));
    return [[...JSON.parse(table.dataset.keys), ...names], ...rows].map(row => row.map(field).join(",") + "\n").join("");
  }

  // Browsers without a clipboard for pages from the disk.
  function copyByHand(text) {
    const area = Object.assign(document.createElement("textarea"), { value: text });
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }

  async function copy(button) {
    const table = button.closest(".table").querySelector("table"), text = csv(table);
    const copied = await navigator.clipboard?.writeText(text).then(() => true, () => false) || copyByHand(text);
    const count = text.split("\n").length - 2;
    button.focus();
    say(...(copied
      ? [`Copied as CSV: ${count} rows`, `已复制 ${count} 行 CSV`]
      : ["This browser does not let a page copy: the file is linked beside the button", "浏览器不允许页面复制：请用按钮旁的文件"]));
  }

  const said = document.querySelector(".said");
  let hide;
  function say(english, chinese) {
    said.replaceChildren(...bilingual(english, chinese));
    clearTimeout(hide);
    hide = setTimeout(() => said.replaceChildren(), 4000);
  }

  for (const button of document.querySelectorAll("th > .sort")) button.addEventListener("click", () => sort(button.parentElement));
  for (const button of document.querySelectorAll("button.copy")) button.addEventListener("click", () => copy(button));
}
