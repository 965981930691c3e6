// A folder of photos, sorted into classes: looked at, mended by hand, taken away.

import { answersAsCsv, words } from "./answers.js";
import * as api from "./api.js";
import { byId, counted, dialog, make, pictureOf } from "./dom.js";
import { sameForm, saveBlob } from "./files.js";
import { zipped } from "./zip.js";

const FEW = 8; // photos in one question
const PATIENCE = 60; // tries while the service is busy
const SURE = 0.5;
const UNSURE = "unsure"; // the folders besides those of the classes; a class of that name gets another folder
const UNREAD = "cannot be read";
const ANSWERS = "answers.csv";
const DEVICES = /^(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[\d¹²³]) *(\.|$)/i; // names that Windows keeps for itself, whatever follows the dot
const NOWHERE = /[\\/:*?"<>|\u0000-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]|\p{Surrogate}/gu; // not in every system's names, or not to be seen
const LONGEST = 200; // bytes of a name; file systems take 255, and a number may follow
const DRAG = "text/triptych-sorted";

let groups = new Map(); // class, or null for unsure, or undefined for what cannot be read -> its photos
let run = 0;

const titleOf = (label) => (label === undefined ? "Cannot be read" : (label ?? "Unsure"));
const sorted = () => [...groups.values()].flatMap((group) => group.photos);

export function clearSorted() {
  run += 1;
  for (const { picture } of sorted()) picture.forget(); // those that nobody scrolled to
  groups = new Map();
  byId("sorted").replaceChildren();
  byId("sort-progress").hidden = true;
  settle();
}

// Sorts files by what the shelf's classes say; a later call ends an earlier one.
export async function sortFiles(shelf, files) {
  clearSorted();
  const mine = run;
  const bar = byId("sort-progress");
  Object.assign(bar, { hidden: false, max: files.length, value: 0 });
  byId("sort-stop").hidden = false;
  for (const label of [...shelf.classes.filter((one) => one.photos.length).map((one) => one.name), null]) groupOf(label);
  try {
    for (let at = 0; at < files.length && mine === run; at += FEW) {
      const part = files.slice(at, at + FEW);
      const { answers } = await patiently(() => api.predict(shelf.id, part, shelf.revision), () => mine === run);
      if (mine !== run) return;
      answers.forEach((answer, number) => place({ file: part[number], answer }, answer.error ? undefined : isSure(answer) ? answer.label : null));
      bar.value = at + part.length;
      say(`${bar.value} of ${counted(files.length, "photo")} sorted`);
    }
  } finally {
    if (mine === run) settle();
  }
}

export function stopSorting() {
  run += 1;
  settle();
}

const isSure = (answer) => !answer.none_of_these && answer.probability >= SURE;

function settle() {
  byId("sort-stop").hidden = true;
  const none = !groups.size || !sorted().length;
  byId("sort-zip").disabled = none;
  byId("sort-csv").disabled = none;
}

function say(text) {
  byId("sort-status").textContent = text;
}

async function patiently(ask, wanted) {
  for (let turn = 1; ; turn += 1) {
    try {
      return await ask();
    } catch (error) {
      if (![429, 503].includes(error.status) || turn === PATIENCE || !wanted()) throw error;
      await new Promise((resolve) => setTimeout(resolve, 1000));
    }
  }
}

function groupOf(label) {
  const found = groups.get(label);
  if (found) return found;
  const title = `sorted-${groups.size}`;
  const count = make("span", {}, "0 photos");
  const list = make("ul", { className: "photos" });
  const element = make("section", { className: "group", "aria-labelledby": title }, make("h3", { id: title }, make("bdi", {}, titleOf(label)), count), list);
  const group = { photos: [], list, count };
  element.addEventListener("dragover", (event) => event.dataTransfer.types.includes(DRAG) && event.preventDefault());
  element.addEventListener("drop", (event) => {
    const photo = sorted()[Number(event.dataTransfer.getData(DRAG))];
    if (!event.dataTransfer.types.includes(DRAG) || !photo || label === undefined) return;
    event.preventDefault();
    place(photo, label);
  });
  groups.set(label, group);
  byId("sorted").append(element);
  return group;
}

function place(photo, label) {
  const before = groups.get(photo.group);
  if (photo.card && before) before.photos = before.photos.filter((one) => one !== photo);
  const group = groupOf(label);
  photo.card ??= card(photo);
  photo.group = label;
  group.photos.push(photo);
  group.list.append(photo.card);
  for (const one of [before, group]) if (one) one.count.textContent = counted(one.photos.length, "photo");
}

function card(photo) {
  const { file, answer } = photo;
  const image = pictureOf(file, { alt: file.name, loading: "lazy", decoding: "async", draggable: false, width: 112, height: 112 });
  photo.picture = image;
  image.addEventListener("error", () => image.replaceWith(make("div", { className: "no-picture" }, file.name)));
  const button = make("button", { type: "button", draggable: true, ariaLabel: `${file.name}: ${words(answer)}`, onclick: () => open(photo) }, make("figure", { className: "photo" }, image));
  button.addEventListener("dragstart", (event) => event.dataTransfer.setData(DRAG, String(sorted().indexOf(photo))));
  return make("li", {}, button);
}

async function open(photo) {
  const { file, answer } = photo;
  const address = URL.createObjectURL(file);
  const others = [...groups.keys()].filter((label) => label !== undefined && label !== photo.group);
  const wish = await dialog(file.name, (close) => {
    const to = make("select", { id: "sort-to" }, others.map((label, number) => make("option", { value: number }, titleOf(label))));
    return make(
      "div",
      {},
      make("img", { className: "photo-large", src: address, alt: file.name }),
      make("p", {}, words(answer)),
      make("div", { className: "buttons" }, make("label", { htmlFor: "sort-to" }, "Class"), to, make("button", { type: "button", onclick: () => close({ to: others[Number(to.value)] }) }, "Put it there")),
    );
  });
  URL.revokeObjectURL(address);
  if (wish) place(photo, wish.to);
}

// The beginning of a text that has so many bytes at most.
function shortened(text, most) {
  const letters = [...text];
  while (new TextEncoder().encode(letters.join("")).length > most) letters.pop();
  return letters.join("");
}

// A name as a folder or file of every system can have it, and no other has yet: some do not tell é from e with an
// accent after it, or large letters from small ones.
function free(name, taken) {
  const plain = sameForm(name).replaceAll(NOWHERE, "_").replace(/[. ]+$/, "") || "_";
  const dot = plain.lastIndexOf(".");
  const [whole, end] = dot > 0 && plain.length - dot < 20 ? [plain.slice(0, dot), plain.slice(dot)] : [plain, ""];
  const stem = shortened(DEVICES.test(plain) ? `_${whole}_` : whole, LONGEST).replace(/[. ]+$/, "") || "_";
  const key = (one) => one.toUpperCase().toLowerCase();
  let found = stem + end;
  for (let number = 2; taken.has(key(found)); number += 1) found = `${stem} (${number})${end}`;
  taken.add(key(found));
  return found;
}

// Each photo with its folder and the name that it has there.
function placed() {
  const folders = new Set([ANSWERS]);
  const names = new Map([[null, free(UNSURE, folders)], [undefined, free(UNREAD, folders)]]);
  for (const label of groups.keys()) if (typeof label === "string") names.set(label, free(label, folders));
  return [...groups].flatMap(([label, group]) => {
    const taken = new Set();
    return group.photos.map((photo) => ({ ...photo, path: `${names.get(label)}/${free(photo.file.name, taken)}` }));
  });
}

const table = (photos) => answersAsCsv(photos.map(({ answer }) => answer), "sorted", photos.map(({ path }) => path));

export async function saveSorted() {
  const photos = placed();
  const answers = new Blob([table(photos)], { type: "text/csv" });
  const told = (done) => say(`${done} of ${counted(photos.length + 1, "file")} in the ZIP file`);
  saveBlob("sorted.zip", await zipped([[ANSWERS, answers], ...photos.map(({ path, file }) => [path, file])], told));
}

export const saveSortedCsv = () => saveBlob("sorted.csv", new Blob([table(placed())], { type: "text/csv" }));
