// The classes of a shelf, with their photos.

import * as api from "./api.js";
import { hasCamera, openCamera } from "./camera.js";
import { askFor, byId, confirmed, counted, dialog, make } from "./dom.js";
import { sameForm, takesDrops } from "./files.js";

const cards = new Map(); // photo -> its element, so that pictures are not fetched again
const local = new Map(); // photo -> address of one that this page has sent, until it has a thumbnail

export function showClasses(shelf, act) {
  const known = new Set(shelf.classes.flatMap((one) => one.photos.map((photo) => photo.id)));
  for (const id of cards.keys()) {
    if (known.has(id)) continue;
    cards.delete(id);
    release(id);
  }
  const none = () => make("p", { className: "zone empty" }, "No classes yet. Type a name above, or drop a folder of photos for each class here.");
  const parts = () => (shelf.classes.length ? shelf.classes.map((one, number) => group(shelf, one, number, act)) : [none()]);
  keepingFocus(() => byId("classes").replaceChildren(...parts()));
}

// Who works by keyboard stays with the photo, or where it was.
function keepingFocus(change) {
  const all = () => [...byId("classes").querySelectorAll("button, input")];
  const focused = document.activeElement;
  const at = all().indexOf(focused);
  const photo = focused.closest("li")?.dataset.photo;
  change();
  if (at < 0) return;
  const left = all();
  (cards.get(photo)?.querySelector("button") ?? left[Math.min(at, left.length - 1)])?.focus({ preventScroll: true });
}

export function forget() {
  cards.clear();
  for (const id of [...local.keys()]) release(id);
}

// Photos that were added, in their order. If some were not, nobody knows which are which: then thumbnails are waited for.
export function remember(ids, files) {
  if (ids.length !== files.length) return;
  for (const [number, id] of ids.entries()) {
    release(id);
    local.set(id, URL.createObjectURL(files[number]));
  }
}

// What is learnt has thumbnails, also those that were asked for too early.
export function showThumbnails(shelf) {
  for (const [id, item] of cards) {
    const image = item.querySelector("img");
    if (!local.has(id) && !(image.complete && !image.naturalWidth)) continue;
    image.src = api.thumbnail(shelf, id);
    release(id);
  }
}

function release(id) {
  if (local.has(id)) URL.revokeObjectURL(local.get(id));
  local.delete(id);
}

function group(shelf, one, number, act) {
  const title = `class-${number}`;
  const section = make(
    "section",
    { className: "group", "aria-labelledby": title },
    make(
      "div",
      { className: "class-head" },
      make("h3", { id: title }, make("bdi", {}, one.name), make("span", {}, counted(one.photos.length, "photo"))),
      make("label", { className: "button" }, "Add photos", make("span", { className: "unseen" }, ` to ${one.name}`), make("input", { type: "file", accept: "image/*", multiple: true, onchange: (event) => act.add(one.name, [...event.target.files]) })),
      hasCamera() ? make("button", { type: "button", onclick: () => openCamera(`Photos of ${one.name}`, (file) => act.add(one.name, [file])).catch(act.complain) }, "Camera") : null,
      make("button", { type: "button", ariaLabel: `rename ${one.name}`, onclick: () => rename(one, act) }, "Rename"),
      make("button", { type: "button", ariaLabel: `remove ${one.name}`, onclick: () => remove(one, act) }, "Remove"),
    ),
    one.photos.length ? make("ul", { className: "photos" }, one.photos.map((photo) => card(shelf, one, photo, act))) : make("p", { className: "zone empty" }, "No photos yet. Drop or paste some here."),
  );
  section.addEventListener("paste", (event) => act.paste(event, one.name));
  takesDrops(section, ({ photos, folders }) => act.add(one.name, [...photos, ...folders.flatMap(([, mine]) => mine)]));
  section.addEventListener("dragover", (event) => event.dataTransfer.types.includes("text/triptych") && event.preventDefault());
  section.addEventListener("drop", (event) => {
    const photo = event.dataTransfer.getData("text/triptych");
    if (photo) event.preventDefault();
    if (photo && !one.photos.some((mine) => mine.id === photo)) act.change((revision) => api.movePhoto(shelf.id, photo, one.name, revision));
  });
  return section;
}

function card(shelf, one, photo, act) {
  const key = `${one.name}\n${photo.name}`;
  const found = cards.get(photo.id);
  if (found?.dataset.key === key) return found;
  const image = make("img", { alt: `${one.name}: ${photo.name}`, loading: "lazy", draggable: false, width: 112, height: 112, src: local.get(photo.id) ?? api.thumbnail(shelf.id, photo.id) });
  const button = make("button", { type: "button", draggable: true, onclick: () => open(shelf.id, photo, image.src, act) }, make("figure", { className: "photo" }, image));
  button.addEventListener("dragstart", (event) => event.dataTransfer.setData("text/triptych", photo.id));
  const item = make("li", {}, button);
  item.dataset.key = key;
  item.dataset.photo = photo.id;
  cards.set(photo.id, item);
  return item;
}

async function open(id, photo, address, act) {
  const { classes, keep_photos: kept } = act.shelf();
  const own = classes.find((one) => one.photos.some((mine) => mine.id === photo.id))?.name;
  const wish = await dialog(photo.name || "A photo", (close) => {
    const to = make("select", { id: "move-to" }, classes.filter((one) => one.name !== own).map((one) => make("option", { value: one.name }, one.name)));
    return make(
      "div",
      {},
      large(kept ? api.keptPhoto(id, photo.id) : address, address, `${own}: ${photo.name}`),
      make("p", {}, "It is in ", make("bdi", {}, own), "."),
      to.options.length ? make("div", { className: "buttons" }, make("label", { htmlFor: "move-to" }, "Class"), to, make("button", { type: "button", onclick: () => close({ to: to.value }) }, "Move it")) : null,
      make("div", { className: "buttons" }, make("button", { type: "button", className: "danger", onclick: () => close({ gone: true }) }, "Remove it")),
    );
  });
  if (wish?.to) await act.change((revision) => api.movePhoto(id, photo.id, wish.to, revision));
  if (wish?.gone) await act.change((revision) => api.deletePhoto(id, photo.id, revision));
}

// The photo as it came; if its file is gone, what stands among the others.
function large(address, otherwise, alt) {
  const image = make("img", { className: "photo-large", src: address, alt });
  image.addEventListener("error", () => (image.src = otherwise), { once: true });
  return image;
}

async function rename(one, act) {
  const name = await askFor(`Rename ${one.name}`, "New name", one.name);
  if (name && name !== one.name) await act.change((revision) => api.renameClass(act.shelf().id, one.name, sameForm(name), revision));
}

async function remove(one, act) {
  const sure = !one.photos.length || (await confirmed(`Remove ${one.name}?`, `Its ${counted(one.photos.length, "photo")} will go, too.`, "Remove it"));
  if (sure) await act.change((revision) => api.deleteClass(act.shelf().id, one.name, revision));
}
