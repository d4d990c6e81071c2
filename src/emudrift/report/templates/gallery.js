// The gallery: search, sorting, pages and a lightbox. Images are loaded on demand from strip files next to the page; the cards
// of the first page are embedded in the page and reused whenever they are shown.
(() => {
  const element = (id) => document.getElementById(id);
  if (!element("gallery-data")) return;
  const data = JSON.parse(element("gallery-data").textContent);
  const prompts = data.prompts.map((values) => Object.fromEntries(data.keys.map((key, place) => [key, values[place]])));
  const without = data.columns - data.labels.length; // 1 where there is no real image
  const fixed = data.labels.length - (data.columns - 1); // 1 where there is one
  const bits = Object.entries(data.flagNames).map(([bit, name]) => [Number(bit), name]);
  for (const prompt of prompts) {
    prompt.search = `${prompt.caption} ${prompt.id}`.toLowerCase();
    prompt.failed = bits.map(([bit]) => prompt.flags.filter((flag) => flag & bit).length);
  }
  const cards = element("gallery-cards");
  const embedded = new Map([...cards.children].map((card) => [Number(card.dataset.row), card]));
  const failures = (a, b) => b.failed[0] - a.failed[0] || b.failed[1] - a.failed[1];
  const orders = { "failures first": failures, "prompt order": () => 0 };
  if (prompts.some((prompt) => prompt.apart !== null))
    orders["disagreement, largest first"] = (a, b) => b.apart - a.apart;
  if (prompts.some((prompt) => prompt.scores.length)) {
    orders["CLIPScore, lowest first"] = (a, b) => Math.min(...a.scores) - Math.min(...b.scores);
    orders["CLIPScore, highest first"] = (a, b) => Math.max(...b.scores) - Math.max(...a.scores);
  }
  let found = [];
  let page = 0;

  function make(tag, name, ...children) {
    const made = document.createElement(tag);
    if (name) made.className = name;
    made.append(...children);
    return made;
  }

  function missing() {
    element("gallery-missing").hidden = false;
  }

  function tile(prompt, column) {
    const label = data.labels[column];
    const image = make("img");
    image.alt = `${label}: ${prompt.caption}`;
    image.style.left = `${-101 * (column + without) - 0.5}%`; // See .cut in style.css.
    image.addEventListener("error", missing, { once: true });
    image.src = `${data.folder}/${prompt.file}`;
    const button = make("button", "frame cut", image);
    button.type = "button";
    const caption = make("figcaption", "", label);
    const arm = column - fixed;
    if (arm >= 0) {
      if (prompt.scores.length) caption.append(" ", make("span", "score", `CLIPScore ${prompt.scores[arm].toFixed(1)}`));
      for (const [bit, name] of bits) if (prompt.flags[arm] & bit) caption.append(" ", make("span", "badge", name));
    }
    return make("figure", "tile", button, caption);
  }

  function card(prompt) {
    if (embedded.has(prompt.row)) return embedded.get(prompt.row);
    const apart = prompt.apart === null ? "" : `disagreement ${Number(prompt.apart.toPrecision(3))} · `;
    const made = make(
      "article",
      "prompt",
      make("h3", "", prompt.caption),
      make("div", "strip", ...data.labels.map((_, column) => tile(prompt, column))),
      make("p", "facts", `${apart}row ${prompt.row}, prompt ${prompt.id}`),
    );
    made.dataset.row = prompt.row;
    return made;
  }

  function show(number) {
    const pages = Math.max(1, Math.ceil(found.length / data.pageSize));
    page = Math.min(Math.max(number, 0), pages - 1);
    cards.replaceChildren(...found.slice(page * data.pageSize, (page + 1) * data.pageSize).map(card));
    const n = (count) => count.toLocaleString("en");
    element("gallery-status").textContent = found.length
      ? `Page ${n(page + 1)} of ${n(pages)}; ${n(found.length)} of ${n(prompts.length)} prompts`
      : "No caption contains these words.";
    element("gallery-back").disabled = page === 0;
    element("gallery-next").disabled = page === pages - 1;
  }

  function find() {
    const words = element("gallery-search").value.toLowerCase().split(/\s+/).filter(Boolean);
    // Sorting is stable, and prompts are in row order.
    found = prompts.filter((prompt) => words.every((word) => prompt.search.includes(word)));
    found.sort(orders[element("gallery-sort").value]);
    show(0);
  }

  element("gallery-sort").append(...Object.keys(orders).map((name) => new Option(name, name)));
  element("gallery-sort").addEventListener("change", find);
  element("gallery-search").addEventListener("input", find);
  element("gallery-controls").addEventListener("submit", (event) => event.preventDefault());
  for (const [id, step] of [["gallery-back", -1], ["gallery-next", 1]])
    element(id).addEventListener("click", () => {
      show(page + step);
      element("gallery").scrollIntoView();
    });

  // --- the lightbox ---
  const box = element("lightbox");
  let at = [0, 0]; // card on the page, column

  function enlarge(place, column) {
    const columns = data.labels.length;
    const shown = cards.children.length;
    if (place < 0 && page > 0) {
      show(page - 1);
      place = cards.children.length - 1;
    } else if (place >= shown && (page + 1) * data.pageSize < found.length) {
      show(page + 1);
      place = 0;
    }
    at = [Math.min(Math.max(place, 0), cards.children.length - 1), (column + columns) % columns];
    const article = cards.children[at[0]];
    const figure = article.querySelectorAll(".tile")[at[1]];
    const frame = figure.querySelector(".frame");
    const copy = make("div", frame.className, frame.firstElementChild.cloneNode());
    element("lightbox-image").replaceChildren(copy);
    element("lightbox-caption").textContent = article.querySelector("h3").textContent;
    const facts = article.querySelector(".facts").textContent;
    element("lightbox-facts").textContent = `${figure.querySelector("figcaption").textContent} · ${facts}`;
    if (!box.open) box.showModal();
  }

  cards.addEventListener("click", (event) => {
    const frame = event.target.closest(".frame");
    if (!frame) return;
    const article = frame.closest(".prompt");
    enlarge([...cards.children].indexOf(article), [...article.querySelectorAll(".frame")].indexOf(frame));
  });
  const moves = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
  const move = ([prompt, column]) => enlarge(at[0] + prompt, at[1] + column);
  box.addEventListener("keydown", (event) => {
    if (!moves[event.key]) return;
    event.preventDefault();
    move(moves[event.key]);
  });
  const buttons = { back: "ArrowLeft", next: "ArrowRight", up: "ArrowUp", down: "ArrowDown" };
  for (const [name, key] of Object.entries(buttons)) element(`lightbox-${name}`).addEventListener("click", () => move(moves[key]));
  element("lightbox-close").addEventListener("click", () => box.close());
  box.addEventListener("click", (event) => {
    if (event.target === box) box.close();
  });
  // The page may have changed in the meantime: focus returns to the last image shown.
  box.addEventListener("close", () => cards.children[at[0]]?.querySelectorAll(".frame")[at[1]]?.focus());

  find();
})();
