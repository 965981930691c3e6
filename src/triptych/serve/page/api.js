// The service's API, as far as the page needs it.

export class Problem extends Error {
  constructor(status, kind, detail) {
    super(detail);
    this.status = status;
    this.kind = kind;
  }
}

async function ask(method, path, { json, body, type, revision, text } = {}) {
  const headers = {};
  if (json !== undefined) headers["Content-Type"] = "application/json";
  if (type) headers["Content-Type"] = type;
  if (revision !== undefined) headers["If-Match"] = `"${revision}"`;
  let answer;
  try {
    answer = await fetch(path, { method, headers, body: json === undefined ? body : JSON.stringify(json) });
  } catch {
    throw new Problem(0, "no-answer", "The service does not answer. Is it still running? Nothing that it confirmed is lost.");
  }
  if (answer.ok) return answer.status === 204 ? null : text ? answer.text() : answer.json();
  let problem = {};
  try {
    problem = await answer.json();
  } catch {
    // no problem document: the status says what there is to say
  }
  throw new Problem(answer.status, String(problem.type ?? "").split(":").pop(), problem.detail ?? `status ${answer.status}`);
}

const of = (id) => `v1/shelves/${encodeURIComponent(id)}`;
const classOf = (id, name) => `${of(id)}/classes/${encodeURIComponent(name)}`;

function form(files) {
  const data = new FormData();
  for (const file of files) data.append("photos", file, file.name || "photo.jpg");
  return data;
}

export const session = (token) => ask("POST", "v1/session", { json: { token } });
export const listShelves = () => ask("GET", "v1/shelves");
export const createShelf = (name) => ask("POST", "v1/shelves", { json: { name, keep_photos: true } });
export const getShelf = (id) => ask("GET", of(id));
export const changeShelf = (id, change) => ask("PATCH", of(id), { json: change });
export const deleteShelf = (id, revision) => ask("DELETE", of(id), { revision });
export const loadShelf = (file) =>
  ask("POST", `v1/shelves/load?name=${encodeURIComponent(file.name.replace(/\.triptych$/, "").trim() || "loaded")}`, {
    body: file,
    type: "application/octet-stream",
  });
export const undo = (id, revision) => ask("POST", `${of(id)}/undo`, { revision });
export const createClass = (id, name) => ask("POST", `${of(id)}/classes`, { json: { name } });
export const renameClass = (id, name, to, revision) => ask("PATCH", classOf(id, name), { json: { name: to }, revision });
export const deleteClass = (id, name, revision) => ask("DELETE", classOf(id, name), { revision });
export const addPhotos = (id, name, files) => ask("POST", `${classOf(id, name)}/photos`, { body: form(files) });
export const movePhoto = (id, photo, to, revision) => ask("POST", `${of(id)}/move`, { json: { photos: [photo], to }, revision });
export const deletePhoto = (id, photo, revision) => ask("DELETE", `${of(id)}/photos/${photo}`, { revision });
export const state = (id, revision, settled) => ask("GET", `${of(id)}/state?revision=${revision}&settled=${settled}&seconds=20`);
export const predict = (id, files, revision) => ask("POST", `${of(id)}/predict?revision=${revision}`, { body: form(files) });
export const explain = (id, file) => ask("POST", `${of(id)}/explain?page=true&top=2`, { body: form([file]), text: true });
export const keptPhoto = (id, photo) => `${of(id)}/photos/${photo}`;
export const thumbnail = (id, photo) => `${of(id)}/photos/${photo}/thumbnail`;
export const fileOf = (id) => `${of(id)}/file`;
