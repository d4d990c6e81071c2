"use strict";
// Shows one pair at a time and saves the votes in the browser. Nothing is ever sent, except by the button of Mechanical Turk,
// which replaces a dollar sign with braces by a column of its table: this file has none.

const data = document.getElementById("study").textContent.trim();
// On Mechanical Turk in base64, which passes through its table unchanged.
const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
const study = JSON.parse(data.startsWith("{") ? data : new TextDecoder().decode(bytes(data)));
const items = study.items;
const QUESTIONS = ["appeal", "faithfulness"].filter((question) => items.some((item) => item.question === question));
const STORE = ["emudrift votes", study.experiment, study.study, "rater", study.rater].join(" ");
const element = (id) => document.getElementById(id);

// Screens in order: an introduction before the items of each question, and the final screen.
const steps = QUESTIONS.flatMap((question) => [
  { intro: question },
  ...items.flatMap((item, index) => (item.question === question ? [{ item: index }] : [])),
]).concat([{ done: true }]);

let votes = new Map(); // Index of an item to its answer and the seconds that it took.
let at = 0;
let ready = false; // Whether both images are displayed; votes are accepted only then.
let since = 0; // When they were.
let canStore = true;
let downloaded = true;

// --- storing votes ---

function asFile() {
  const given = [...votes].sort((a, b) => a[0] - b[0]);
  return {
    format: study.format,
    experiment: study.experiment,
    study: study.study,
    rater: study.rater,
    token: study.token,
    votes: given.map(([item, { answer, seconds }]) => ({ item, question: items[item].question, answer, seconds })),
  };
}

// The votes from a file or the browser's storage; null if they do not belong to this page.
function fromFile(text) {
  let file;
  try {
    file = JSON.parse(text);
  } catch {
    return null;
  }
  const ours = ["format", "experiment", "study", "rater", "token"].every((key) => file?.[key] === study[key]);
  if (!ours || !Array.isArray(file.votes)) return null;
  const known = (vote) =>
    items[vote?.item] && study.answers[items[vote.item].question].some((each) => each.answer === vote.answer);
  return file.votes.every(known) ? new Map(file.votes.map(({ item, answer, seconds }) => [item, { answer, seconds }])) : null;
}

function store() {
  try {
    localStorage.setItem(STORE, JSON.stringify(asFile()));
    canStore = true;
  } catch {
    canStore = false;
  }
  element("unsaved").hidden = canStore;
  element("kept").hidden = !canStore;
  if (element("answer")) element("answer").value = JSON.stringify(asFile());
}

function stored() {
  try {
    return fromFile(localStorage.getItem(STORE));
  } catch {
    return null;
  }
}

function download() {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([JSON.stringify(asFile(), null, 1) + "\n"], { type: "application/json" }));
  link.download = "votes-" + study.experiment + "-" + study.study + "-rater-" + study.rater + ".json";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  downloaded = true;
  element("said").textContent = "Downloaded " + votes.size + " of " + items.length + " votes as " + link.download + ".";
}

async function load(input) {
  const found = input.files.length ? fromFile(await input.files[0].text()) : null;
  input.value = "";
  if (!found) {
    element("said").textContent = "That file contains no votes of rater " + study.rater + " for this study.";
    return;
  }
  votes = new Map([...votes, ...found]);
  store();
  at = firstOpen();
  show();
  element("said").textContent = "Loaded " + found.size + " votes.";
}

// --- screens ---

// Where to continue: the first pair without a vote, or the introduction before it if its question was not started.
function firstOpen() {
  const open = steps.findIndex((step) => step.done || (step.item !== undefined && !votes.has(step.item)));
  return steps[open - 1]?.intro ? open - 1 : open;
}

function show() {
  const step = steps[at];
  element("bar").max = items.length;
  element("bar").value = votes.size;
  element("count").textContent = votes.size + " of " + items.length;
  element("said").textContent = "";
  element("intro").hidden = !step.intro;
  element("rate").hidden = step.item === undefined;
  element("done").hidden = !step.done;
  for (const part of element("intro").querySelectorAll("[data-question]")) {
    part.hidden = part.dataset.question !== step.intro;
  }
  // Whom the page is from and what becomes of the votes: once, before everything else.
  if (element("information")) element("information").hidden = at !== 0;
  for (const button of document.querySelectorAll("[data-back]")) button.hidden = at === 0;
  ready = false;
  if (step.item !== undefined) showItem(step.item);
  if (step.done) {
    const missing = items.length - votes.size;
    element("left-out").hidden = missing === 0;
    element("left-out").textContent = missing + " pairs have no vote yet; “Back” takes you to them.";
  }
  const heading = [...document.querySelectorAll("main h1")].find((each) => each.offsetParent !== null);
  heading?.focus({ preventScroll: true });
}

async function showItem(index) {
  const item = items[index];
  element("ask").textContent = study.ask[item.question];
  element("caption").hidden = item.caption === null;
  element("caption").textContent = item.caption ?? "";
  element("broken").hidden = true;
  element("next").disabled = !votes.has(index);
  showAnswers(index);
  const shown = at;
  const images = [element("left"), element("right")];
  images.forEach((image, side) => (image.src = item.images[side]));
  try {
    await Promise.all(images.map((image) => image.decode()));
  } catch {
    if (shown === at) element("broken").hidden = false;
    return;
  }
  if (shown !== at) return;
  ready = true;
  since = performance.now();
  showAnswers(index);
  prefetch();
}

function showAnswers(index) {
  const buttons = study.answers[items[index].question].map(({ answer, label, keys }) => {
    const button = document.createElement("button");
    button.dataset.answer = answer;
    button.textContent = label;
    for (const key of keys) {
      const hint = document.createElement("kbd");
      hint.textContent = key;
      button.append(hint);
    }
    button.disabled = !ready;
    button.setAttribute("aria-pressed", String(votes.get(index)?.answer === answer));
    button.addEventListener("click", () => vote(answer));
    return button;
  });
  element("answers").replaceChildren(...buttons);
}

// Preloads the images of the next two pairs.
function prefetch() {
  for (const step of steps.slice(at + 1, at + 4)) {
    for (const source of items[step.item]?.images ?? []) new Image().src = source;
  }
}

// --- navigation ---

function vote(answer) {
  if (!ready) return;
  // A vote that is changed took as long as all looks at its pair together.
  const before = votes.get(steps[at].item)?.seconds ?? 0;
  const seconds = Math.round(10 * before + (performance.now() - since) / 100) / 10;
  votes.set(steps[at].item, { answer, seconds });
  downloaded = false;
  store();
  go(1);
}

function go(by) {
  at = Math.min(Math.max(at + by, 0), steps.length - 1);
  show();
}

function next() {
  const step = steps[at];
  if (step.intro || votes.has(step.item)) go(1);
}

// On the last screen, if votes are missing: to the first pair without a vote.
function back() {
  if (steps[at].done && votes.size < items.length) {
    at = firstOpen();
    show();
  } else {
    go(-1);
  }
}

element("start").addEventListener("click", () => go(1));
for (const button of document.querySelectorAll("[data-back]")) button.addEventListener("click", back);
element("next").addEventListener("click", next);
element("load").addEventListener("change", (event) => load(event.target));
for (const button of document.querySelectorAll("[data-download]")) button.addEventListener("click", download);

document.addEventListener("keydown", (event) => {
  // A held key must not vote on pairs that were not looked at; key combinations belong to the browser.
  if (event.repeat || event.ctrlKey || event.altKey || event.metaKey) return;
  const onButton = event.target.closest?.("button, input, a");
  const item = items[steps[at].item];
  const pressed = { ArrowLeft: "←", ArrowRight: "→" }[event.key] ?? event.key;
  const answer = item && study.answers[item.question].find((each) => each.keys.includes(pressed));
  if (answer) vote(answer.answer);
  else if (event.key === "Backspace") back();
  else if (event.key === "Enter" && !onButton) next();
  else return;
  event.preventDefault();
});

// A vote was cast in another tab with the same page.
window.addEventListener("storage", (event) => {
  const found = event.key === STORE && stored();
  if (!found) return;
  votes = found;
  show();
});

window.addEventListener("beforeunload", (event) => {
  if (!canStore && !downloaded) event.preventDefault();
});

votes = stored() ?? votes;
store();
at = firstOpen();
show();
