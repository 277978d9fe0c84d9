"use strict";
// The table is there without this script, which lets it be sorted and searched. It makes no HTML from text:
// rows are moved, and what it writes is a count.
(() => {
  const PAGE = 200;
  const data = JSON.parse(document.getElementById("data").textContent);
  const table = document.getElementById("fits");
  const body = table.tBodies[0];
  const rows = Array.from(body.rows);
  const texts = data.texts.map((text) => text.toLowerCase());
  const heads = Array.from(table.tHead.rows[0].cells);
  const names = heads.map((head) => head.textContent);
  const search = document.getElementById("search");
  const count = document.getElementById("count");
  const more = document.getElementById("more");
  const collator = new Intl.Collator(undefined, { numeric: true });
  const state = { words: "", column: -1, descending: false, shown: PAGE };
  let order = rows.map((_, place) => place);

  function compare(one, two) {
    const a = data.values[one][state.column];
    const b = data.values[two][state.column];
    const none = (value) => value === null || value === "";
    if (none(a) || none(b)) return none(a) - none(b); // last, in either direction
    const sign = typeof a === "number" ? a - b : collator.compare(a, b);
    return state.descending ? -sign : sign;
  }

  function sort() {
    order = rows.map((_, place) => place);
    if (state.column >= 0) order.sort(compare);
    heads.forEach((head, place) => {
      if (place !== state.column) head.removeAttribute("aria-sort");
      else head.setAttribute("aria-sort", state.descending ? "descending" : "ascending");
    });
  }

  function show() {
    const words = state.words.toLowerCase().split(/\s+/).filter(Boolean);
    const found = order.filter((place) => words.every((word) => texts[place].includes(word)));
    body.replaceChildren(...found.slice(0, state.shown).map((place) => rows[place]));
    const of = words.length ? `${found.length} of ${rows.length}` : `${rows.length}`;
    const part = found.length > state.shown ? `, the first ${state.shown} shown` : "";
    count.textContent = `${of} fit${rows.length === 1 ? "" : "s"}${part}`;
    more.hidden = found.length <= state.shown;
  }

  function toHash() {
    const parts = new URLSearchParams();
    if (state.words) parts.set("q", state.words);
    if (state.column >= 0) {
      parts.set("sort", names[state.column]);
      if (state.descending) parts.set("order", "descending");
    }
    try {
      history.replaceState(null, "", `#${parts}`);
    } catch {
      // A browser that does not let files change their address: the table works all the same.
    }
  }

  function fromHash() {
    const parts = new URLSearchParams(location.hash.slice(1));
    state.words = parts.get("q") ?? "";
    state.column = names.indexOf(parts.get("sort") ?? "");
    state.descending = parts.get("order") === "descending";
    state.shown = PAGE;
    search.value = state.words;
    sort();
    show();
  }

  heads.forEach((head, place) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = names[place];
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      state.descending = state.column === place && !state.descending;
      state.column = place;
      sort();
      show();
      toHash();
    });
  });
  search.addEventListener("input", () => {
    state.words = search.value;
    state.shown = PAGE;
    show();
    toHash();
  });
  more.addEventListener("click", () => {
    state.shown += PAGE;
    show();
  });
  window.addEventListener("hashchange", fromHash);
  document.getElementById("tools").hidden = false;
  fromHash();
})();
