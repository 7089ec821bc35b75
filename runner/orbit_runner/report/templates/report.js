"use strict";
(() => {
  const root = document.documentElement;
  root.classList.add("js");
  const list = document.getElementById("all");
  const search = document.getElementById("search");
  const shown = document.getElementById("shown");
  const chips = [...document.querySelectorAll(".chips [data-status]")];
  const byDuration = document.getElementById("by-duration");
  const rows = [...list.children];
  let texts = null;

  // Every word has to occur, in any order; upper and lower case are the same.
  function filter() {
    texts ??= rows.map((row) => [...row.querySelectorAll(".name, .address, .why")].map((e) => e.textContent).join(" ").toLowerCase());
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const wanted = new Set(chips.filter((c) => c.getAttribute("aria-pressed") === "true").map((c) => c.dataset.status));
    let count = 0;
    rows.forEach((row, i) => {
      const fits = (!wanted.size || wanted.has(row.dataset.status)) && words.every((word) => texts[i].includes(word));
      if (row.hidden === fits) row.hidden = !fits;
      count += fits;
    });
    shown.textContent = words.length || wanted.size ? `${count.toLocaleString("en")} of ${rows.length.toLocaleString("en")} shown` : "";
  }

  let waiting = 0;
  search.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(filter, rows.length > 2000 ? 120 : 0);
  });
  for (const chip of chips) {
    chip.addEventListener("click", () => {
      chip.setAttribute("aria-pressed", String(chip.getAttribute("aria-pressed") !== "true"));
      filter();
    });
  }
  byDuration.addEventListener("click", () => {
    const on = byDuration.getAttribute("aria-pressed") !== "true";
    byDuration.setAttribute("aria-pressed", String(on));
    list.append(...(on ? [...rows].sort((a, b) => b.dataset.seconds - a.dataset.seconds) : rows));
  });
  document.addEventListener("keydown", (event) => {
    const typing = event.target instanceof HTMLInputElement;
    if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      search.focus();
    } else if (event.key === "Escape" && typing) {
      search.value = "";
      filter();
    }
  });

  // A link to a test unfolds it.
  function unfold() {
    const target = location.hash.length > 1 && document.getElementById(location.hash.slice(1));
    if (!target) return;
    if (target.hidden) {
      search.value = "";
      for (const chip of chips) chip.setAttribute("aria-pressed", "false");
      filter();
    }
    const fold = target.matches("details") ? target : target.querySelector("details");
    for (let node = fold || target; node; node = node.parentElement) if (node.matches("details")) node.open = true;
    target.scrollIntoView();
  }
  addEventListener("hashchange", unfold);
  unfold();

  document.addEventListener("click", async (event) => {
    const button = event.target instanceof Element && event.target.closest(".copy");
    if (!button) return;
    const source = button.previousElementSibling;
    try {
      await navigator.clipboard.writeText(source.textContent);
      button.textContent = "Copied";
    } catch {
      // No clipboard for pages opened from a file in this browser: select it, so that one key copies it.
      getSelection().selectAllChildren(source);
      button.textContent = "Selected";
    }
    setTimeout(() => (button.textContent = "Copy"), 1500);
  });
})();
