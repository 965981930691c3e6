// Photos that were asked about, and what they are.

import * as api from "./api.js";
import { byId, certainty, make, pictureOf, sureness } from "./dom.js";
import { field, saveBlob } from "./files.js";

const FEW = 8; // photos in one question
const told = [];

export function clear() {
  told.length = 0;
  byId("answers").replaceChildren();
  byId("csv").disabled = true;
}

export async function askAbout(shelf, files, complain) {
  for (let at = 0; at < files.length; at += FEW) {
    const part = files.slice(at, at + FEW);
    const found = await api.predict(shelf.id, part, shelf.revision);
    found.answers.forEach((answer, number) => show(shelf, part[number], answer, complain));
  }
}

export function words(answer) {
  if (answer.error) return answer.error;
  const sure = `${answer.label}, ${sureness(answer.probability)}`;
  return answer.none_of_these ? `none of these (nearest: ${sure})` : sure;
}

function show(shelf, file, answer, complain) {
  told.push(answer);
  byId("csv").disabled = false;
  const picture = pictureOf(file, { alt: answer.image });
  picture.addEventListener("error", () => picture.replaceWith(make("div", { className: "no-picture" }, "no picture")));
  const item = make("li", { className: "answer" }, picture, answer.error ? make("p", { className: "bad" }, answer.error) : said(shelf, file, answer, complain));
  byId("answers").prepend(item);
}

function said(shelf, file, answer, complain) {
  const box = make("div", { className: "why", hidden: true });
  const why = make("button", { type: "button", ariaExpanded: "false" }, "Why?");
  why.addEventListener("click", async () => {
    box.hidden = !box.hidden;
    why.ariaExpanded = String(!box.hidden);
    if (box.hidden || box.childElementCount) return;
    box.textContent = "Looking for the evidence";
    try {
      const page = new DOMParser().parseFromString(await api.explain(shelf.id, file), "text/html");
      box.replaceChildren(...page.body.childNodes);
    } catch (error) {
      box.replaceChildren();
      complain(error);
    }
  });
  const others = Object.entries(answer.probabilities).sort((one, other) => other[1] - one[1]).slice(1, 4);
  return [
    make(
      "div",
      {},
      make("h3", {}, make("bdi", {}, answer.none_of_these ? "None of these" : answer.label)),
      make("p", {}, make("meter", { min: 0, max: 1, low: 0.75, high: 0.95, optimum: 1, value: answer.probability, ariaLabel: `probability of ${answer.label}` }), ` ${sureness(answer.probability)}, ${certainty(answer.probability)}`, answer.none_of_these ? [" for ", make("bdi", {}, answer.label), ", which is the nearest"] : null),
      answer.set ? make("p", {}, `Among these in ${sureness(answer.set.coverage)} of cases: ${answer.set.labels.join(", ")}`) : null,
      make("p", { className: "lead" }, answer.image, others.length ? ` — next: ${others.map(([label, share]) => `${label} ${sureness(share)}`).join(", ")}` : ""),
      answer.in_support ? make("p", { className: "bad" }, "It is one of the photos learnt from: its answer proves nothing.") : null,
      why,
    ),
    box,
  ];
}

// A table of answers; `more` is another column, with a value for each.
export function answersAsCsv(answers, more, values) {
  const labels = [...new Set(answers.flatMap((answer) => Object.keys(answer.probabilities)))].sort();
  const extra = more === undefined ? [] : [more];
  const head = [...extra, "image", "label", "probability", "none_of_these", "in_support", "error", ...labels.map((label) => `p_${label}`)];
  const rows = answers.map((answer, number) => [
    ...extra.map(() => values[number]),
    answer.image, answer.label, answer.probability, answer.none_of_these, answer.in_support, answer.error,
    ...labels.map((label) => answer.probabilities[label]),
  ]);
  return `${[head, ...rows].map((row) => row.map(field).join(",")).join("\r\n")}\r\n`;
}

export const saveCsv = () => saveBlob("answers.csv", new Blob([answersAsCsv(told)], { type: "text/csv" }));
