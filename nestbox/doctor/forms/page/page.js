"use strict";
(() => {
  const root = document.documentElement;
  const told = document.getElementById("told");
  const search = document.getElementById("search");
  const rows = [...document.querySelectorAll("tr.row")];
  let timer = 0;

  function tell(text) {
    told.textContent = text;
    clearTimeout(timer);
    timer = setTimeout(() => { told.textContent = ""; }, 2000);
  }

  // A page of a file may have no clipboard and no storage: then the text is selected instead.
  async function copy(button) {
    const text = button.previousElementSibling;
    try {
      await navigator.clipboard.writeText(text.textContent);
      tell("Copied");
    } catch {
      getSelection().selectAllChildren(text);
      tell("Selected: copy it with the keyboard");
    }
  }

  function remember(theme) {
    try { localStorage.setItem("theme", theme); } catch { /* only this view has it then */ }
  }

  function remembered() {
    try { return localStorage.getItem("theme"); } catch { return null; }
  }

  const button = document.getElementById("theme");
  function dark() {
    const chosen = root.dataset.theme;
    return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  }
  function show() {
    button.setAttribute("aria-pressed", String(dark()));
  }
  const before = remembered();
  if (before === "dark" || before === "light") root.dataset.theme = before;
  show();
  button.addEventListener("click", () => {
    root.dataset.theme = dark() ? "light" : "dark";
    remember(root.dataset.theme);
    show();
  });

  function shown() {
    return rows.filter((row) => !row.hidden);
  }

  function filter() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const row of rows) {
      row.hidden = !words.every((word) => row.dataset.text.includes(word));
      if (row.hidden) fold(row, false);
    }
    document.getElementById("count").textContent = `${shown().length} of ${rows.length}`;
  }

  function fold(row, open) {
    row.nextElementSibling.hidden = !open;
    row.setAttribute("aria-expanded", String(open));
  }

  function move(row, step) {
    const list = shown();
    const next = list[list.indexOf(row) + step];
    if (!next) return;
    for (const each of rows) each.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  }

  if (search) {
    search.addEventListener("input", filter);
    filter();
  }
  for (const row of rows) {
    row.addEventListener("click", () => fold(row, row.nextElementSibling.hidden));
    row.addEventListener("keydown", (event) => {
      const steps = { ArrowDown: 1, ArrowUp: -1 };
      if (event.key in steps) move(row, steps[event.key]);
      else if (event.key === "Enter" || event.key === " ") fold(row, row.nextElementSibling.hidden);
      else return;
      event.preventDefault();
    });
  }
  for (const each of document.querySelectorAll("button.copy")) {
    each.addEventListener("click", () => copy(each));
  }
  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && search && document.activeElement !== search) {
      search.focus();
      event.preventDefault();
    } else if (event.key === "Escape" && document.activeElement === search) {
      search.value = "";
      filter();
    } else if (event.key === "ArrowDown" && document.activeElement === search && shown().length) {
      shown()[0].focus();
      event.preventDefault();
    }
  });
})();
