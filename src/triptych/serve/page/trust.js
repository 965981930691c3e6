// How far a shelf's answers can be trusted, and where to look.

import * as api from "./api.js";
import { byId, counted, make } from "./dom.js";

export function showTrust(shelf, state, act) {
  const photos = new Map(shelf.classes.flatMap((one) => one.photos.map((photo) => [photo.id, { ...photo, label: one.name }])));
  const parts = [];
  if (state.trouble) parts.push(make("p", { className: "notice bad" }, state.trouble));
  if (state.lost.length) parts.push(make("p", { className: "notice bad" }, `${counted(state.lost.length, "photo")} could not be learnt: the files are gone or damaged.`));
  if (!state.left_out) {
    parts.push(make("p", {}, "Give at least two classes two photos each. Then each is left out in turn and recognised by the others."));
  } else {
    const share = Math.round((1000 * state.right) / state.left_out) / 10;
    const off = Math.round(100 * state.ece);
    parts.push(tiles([[`${share}%`, "recognised, each left out in turn"], [String(state.left_out), "photos left out"], [off ? counted(off, "point") : "< 1 point", "by which probabilities are off on average"]]));
  }
  if (state.confused.length) parts.push(make("h3", {}, "Often confused"), make("ul", { className: "lines" }, state.confused.map(pair)));
  const suspects = state.suspects.filter((one) => photos.get(one.photo)?.label === one.label);
  if (suspects.length) parts.push(make("h3", {}, "Are these in the right class?"), make("ul", { className: "cards" }, suspects.map((one) => suspect(shelf, one, photos.get(one.photo), act))));
  byId("trust").replaceChildren(...parts);
}

const tiles = (figures) => make("dl", { className: "tiles" }, figures.map(([figure, what]) => make("div", {}, make("dt", {}, what), make("dd", {}, figure))));

const pair = (one) => make("li", {}, make("bdi", {}, one.label), " taken for ", make("bdi", {}, one.answer), `: ${counted(one.count, "photo")}`);

function suspect(shelf, one, photo, act) {
  const move = () => act.change((revision) => api.movePhoto(shelf.id, one.photo, one.answer, revision));
  return make(
    "li",
    {},
    make("img", { src: api.thumbnail(shelf.id, one.photo), alt: `${one.label}: ${photo.name}`, loading: "lazy", width: 112, height: 112 }),
    make("p", {}, "It is in ", make("bdi", {}, one.label), ". The others take it for ", make("bdi", {}, one.answer), "."),
    make("button", { type: "button", onclick: move }, `Move it to ${one.answer}`),
  );
}
