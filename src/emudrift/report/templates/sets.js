// Several sets of prompts: the gallery of one is shown. A gallery starts when its set is first asked for, and is kept afterwards.
(() => {
  const here = document.getElementById("gallery-here");
  if (!here) return;
  const choice = document.getElementById("gallery-set");
  const names = [...choice.options].map((option) => option.value);
  const contents = new Map([[names[0], [...here.childNodes]]]);
  for (const template of document.querySelectorAll("template[data-set]"))
    contents.set(template.dataset.set, [...template.content.childNodes]);
  // Prompts of each set, by what a link to one of them says.
  const links = new Map();
  for (const [name, nodes] of contents) {
    const found = nodes.find((node) => node.id === "gallery-data");
    const data = JSON.parse(found.textContent);
    const place = data.keys.indexOf("id");
    links.set(name, new Set(data.prompts.map((values) => `#prompt-${values[place]}`)));
  }
  const started = new Set();
  let shown = names[0];

  function show(name) {
    if (name !== shown) here.replaceChildren(...contents.get(name));
    choice.value = shown = name;
    if (started.has(name)) return;
    started.add(name);
    startGallery();
  }

  // Before the galleries' own listeners: each looks for prompts of its own set alone.
  function follow() {
    const link = decodeURIComponent(location.hash);
    show([shown, ...names].find((name) => links.get(name).has(link)) ?? shown);
  }

  addEventListener("hashchange", follow);
  choice.addEventListener("change", () => show(choice.value));
  document.getElementById("gallery-sets").addEventListener("submit", (event) => event.preventDefault());
  follow();
})();
