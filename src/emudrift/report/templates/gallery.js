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
    const figure = make("figure", "tile", button, caption);
    figure.style.gridArea = data.areas[column];
    return figure;
  }

  function card(prompt) {
    if (embedded.has(prompt.row)) return embedded.get(prompt.row);
    const apart = prompt.apart === null ? "" : `disagreement ${Number(prompt.apart.toPrecision(3))} · `;
    const self = make("a", "self", "#");
    self.href = `#prompt-${prompt.id}`;
    self.title = "link to this prompt";
    const strip = make("div", "strip", ...data.labels.map((_, column) => tile(prompt, column)));
    strip.style.setProperty("--across", data.across);
    Object.assign(strip, { tabIndex: 0, role: "group", ariaLabel: "images of this prompt" });
    const made = make(
      "article",
      "prompt",
      self,
      make("h3", "", prompt.caption),
      strip,
      make("p", "facts", `${apart}row ${prompt.row}, prompt ${prompt.id}`),
    );
    made.dataset.row = prompt.row;
    made.id = `prompt-${prompt.id}`;
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
    element("gallery-page").max = pages;
    element("gallery-page").value = page + 1;
  }

  // The page of a prompt named in the address, with all prompts in their own order.
  function follow() {
    const id = decodeURIComponent(location.hash).replace(/^#prompt-/, "");
    if (!location.hash.startsWith("#prompt-") || !prompts.some((prompt) => prompt.id === id)) return;
    if (!element(`prompt-${id}`)) {
      element("gallery-search").value = "";
      element("gallery-sort").value = "prompt order";
      find();
      show(Math.floor(found.findIndex((prompt) => prompt.id === id) / data.pageSize));
    }
    element(`prompt-${id}`).scrollIntoView({ behavior: "instant" });
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
  element("gallery-page").addEventListener("change", (event) => show(Number(event.target.value) - 1));
  addEventListener("hashchange", follow);
  for (const [id, step] of [["gallery-back", -1], ["gallery-next", 1]])
    element(id).addEventListener("click", () => {
      show(page + step);
      element("gallery").scrollIntoView();
    });

  // --- the lightbox ---
  const box = element("lightbox");
  let at = [0, 0]; // card on the page, column
  const other = element("lightbox-other");
  other.append(new Option("nothing", ""), ...data.labels.map((label, column) => new Option(label, column)));

  // An image in its own size, where the page has it as a file; else the thumbnail.
  function picture(article, column) {
    const row = Number(article.dataset.row);
    const small = article.querySelectorAll(".frame img")[column].cloneNode();
    const isCut = Boolean(article.querySelectorAll(".frame")[column].classList.contains("cut"));
    const layer = make("div", isCut ? "layer cut" : "layer", small);
    if (row < data.full) {
      const prompt = prompts.find((each) => each.row === row);
      const full = make("img");
      full.alt = small.alt;
      full.addEventListener("load", () => {
        layer.className = "layer";
        layer.replaceChildren(full);
      });
      full.src = `${data.folder}/${prompt.file.replace(/\.webp$/, "")}/${column + without}.webp`;
    }
    return layer;
  }

  // How much of the other image lies over the first.
  function mix() {
    const upper = element("lightbox-image").querySelectorAll(".layer")[1];
    const share = Number(element("lightbox-mix").value);
    for (const id of ["lightbox-mix", "lightbox-toggle"]) element(id).disabled = !upper;
    if (upper) upper.style.opacity = share / 100;
    const shown = upper && share >= 50 ? "B" : "A";
    element("lightbox-toggle").textContent = upper ? `shows ${shown}: A / B (Space)` : "A / B (Space)";
  }

  function toggle() {
    const slider = element("lightbox-mix");
    if (slider.disabled) return;
    slider.value = Number(slider.value) >= 50 ? 0 : 100;
    mix();
  }

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
    const large = make("div", frame.className, picture(article, at[1]));
    if (other.value !== "") large.append(picture(article, Number(other.value)));
    element("lightbox-image").replaceChildren(large);
    mix();
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
  other.addEventListener("change", () => enlarge(...at));
  element("lightbox-mix").addEventListener("input", mix);
  element("lightbox-toggle").addEventListener("click", toggle);
  box.addEventListener("keydown", (event) => {
    if (event.key === " " && event.target.tagName !== "BUTTON" && event.target.tagName !== "SELECT") {
      event.preventDefault();
      toggle();
    }
    if (!moves[event.key] || ["SELECT", "INPUT"].includes(event.target.tagName)) return;
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
  follow();
})();
