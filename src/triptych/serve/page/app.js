// The page: one shelf, what lies on it, and what it answers.

import * as answers from "./answers.js";
import * as api from "./api.js";
import { hasCamera, openCamera } from "./camera.js";
import { forget, remember, showClasses, showThumbnails } from "./classes.js";
import { askFor, byId, confirmed, counted, make } from "./dom.js";
import { chosenFolders, isPhoto, pasted, sameForm, takesDrops } from "./files.js";
import { clearSorted, saveSorted, saveSortedCsv, sortFiles, stopSorting } from "./sorting.js";
import { showTrust } from "./trust.js";

const FEW = 8; // photos in one upload
let shelf = null;
let watching = 0;

const act = { add, change, complain, paste, shelf: () => shelf };
const started = begin(); // what a person does before the shelf is there waits for it

function say(text) {
  byId("status").textContent = text;
}

function complain(error) {
  const box = byId("problem");
  box.replaceChildren(...(error ? [make("p", {}, error.message), make("button", { type: "button", onclick: () => complain(null) }, "Dismiss")] : []));
  box.hidden = !error;
  if (error && !(error instanceof api.Problem)) console.error(error);
}

async function take(found) {
  shelf = found;
  showClasses(shelf, act);
  byId("undo").disabled = !shelf.undoable;
  byId("keep").checked = shelf.keep_photos;
  byId("download").href = api.fileOf(shelf.id);
  await watch();
}

// Follows the learning of the present state, and tells when it is ready.
async function watch() {
  const mine = ++watching;
  const { id, revision } = shelf;
  const filled = shelf.classes.filter((one) => one.photos.length).length;
  showWhatCanBeAsked(filled > 1);
  if (filled < 2) {
    say(`Give it photos of ${filled ? "one more class" : "two classes"}.`);
    showTrust(shelf, { left_out: 0, lost: [], confused: [], suspects: [] }, act);
    if (filled) await watchOne(mine, id, revision);
    return;
  }
  say("Learning");
  try {
    for (const settled of [false, true]) {
      let state = await api.state(id, revision, settled);
      while (mine === watching && !state.trouble && (settled ? !state.settled : state.revision < revision)) {
        state = await api.state(id, revision, settled);
      }
      if (mine !== watching) return;
      showThumbnails(id);
      say(state.trouble ? "Not learnt" : settled ? "Ready" : "Ready; still calibrating");
      showTrust(shelf, state, act);
    }
  } catch (error) {
    if (mine === watching) complain(error);
  }
}

// Recognition is a choice: with fewer than two classes there is nothing to ask.
function showWhatCanBeAsked(all) {
  for (const id of ["ask-files", "ask-shot", "ask-camera", "sort-files"]) byId(id).disabled = !all;
  byId("ask-lead").textContent = all ? "Drop photos here, paste them, or" : "First make two classes below, and give each a few photos. Five of each are a good start.";
}

// With one class only its thumbnails are waited for.
async function watchOne(mine, id, revision) {
  try {
    await api.state(id, revision, false);
    if (mine === watching) showThumbnails(id);
  } catch (error) {
    if (mine === watching) complain(error);
  }
}

// A change of what was seen; if somebody else was quicker, theirs is shown.
async function change(edit) {
  await started;
  complain(null);
  try {
    await take(await edit(shelf.revision));
  } catch (error) {
    complain(error);
    if (error.status === 412) {
      await open(shelf.id);
      complain(new api.Problem(412, error.kind, "Somebody else has changed this shelf. It is shown as it is now; please do it again."));
    }
  }
}

async function add(label, files) {
  await started;
  await addTo(shelf.id, label, files);
}

// Another shelf may be opened meanwhile: the photos go where they were meant to.
async function addTo(id, label, files, fresh = false) {
  complain(null);
  const refused = [];
  try {
    if (fresh) await api.createClass(id, label);
    for (let at = 0; at < files.length; at += FEW) {
      say(`Adding photo ${at + 1} of ${files.length} to ${label}`);
      const part = files.slice(at, at + FEW);
      const told = await api.addPhotos(id, label, part);
      if (shelf.id === id) remember(told.added, part);
      refused.push(...told.refused.map((one) => one.problem.detail));
      refused.push(...Object.values(told.elsewhere).map((other) => `A photo is in ${other} already and stays there.`));
    }
  } catch (error) {
    refused.push(error.message);
  }
  if (refused.length) complain(new api.Problem(422, "refused", refused.join(" ")));
  if (shelf.id === id) await open(id, true);
}

async function addFolders(folders) {
  await started;
  const { id } = shelf;
  const known = new Set(shelf.classes.map((one) => one.name));
  for (const [name, files] of folders) {
    await addTo(id, name, files, !known.has(name));
    known.add(name);
  }
}

async function ask(files) {
  if (!files.length) return;
  await started;
  complain(null);
  try {
    await answers.askAbout(shelf, files, complain);
  } catch (error) {
    complain(error);
  }
}

function paste(event, label) {
  const files = pasted(event.clipboardData);
  if (!files.length) return;
  event.preventDefault();
  event.stopPropagation();
  if (label === undefined) ask(files);
  else add(label, files);
}

async function open(id, same = false) {
  try {
    const found = await api.getShelf(id);
    if (same && shelf.id !== id) return;
    if (!same) {
      forget();
      answers.clear();
      clearSorted();
    }
    history.replaceState(null, "", `#${id}`);
    await take(found);
  } catch (error) {
    complain(error);
  }
}

async function start(wanted) {
  const { shelves, damaged } = await api.listShelves();
  if (!shelves.length) shelves.push({ ...(await api.createShelf("My shelf")) });
  const chosen = shelves.find((one) => one.id === wanted) ?? shelves[0];
  byId("shelf").replaceChildren(...shelves.map((one) => new Option(one.name, one.id, false, one.id === chosen.id)));
  if (damaged.length) complain(new api.Problem(500, "damaged", damaged.map((one) => one.detail).join(" ")));
  await open(chosen.id);
}

async function begin() {
  try {
    await start(location.hash.slice(1));
  } catch (error) {
    if (error.status !== 401) return complain(error);
    const token = await askFor("This service asks for its token", "Token", "", "password");
    if (token === null) return complain(error);
    try {
      await api.session(token);
      complain(null);
    } catch (refused) {
      complain(refused);
    }
    return begin();
  }
}

async function guarded(work) {
  await started;
  complain(null);
  try {
    await work();
  } catch (error) {
    complain(error);
  }
}

function chosen(id, use) {
  byId(id).addEventListener("change", (event) => {
    const files = [...event.target.files];
    event.target.value = "";
    if (files.length) use(files);
  });
}

byId("shelf").addEventListener("change", (event) => open(event.target.value));
byId("new-shelf").addEventListener("click", async () => {
  const name = await askFor("New shelf", "Name");
  if (name) await guarded(async () => start((await api.createShelf(name)).id));
});
byId("undo").addEventListener("click", () => change((revision) => api.undo(shelf.id, revision)));
byId("new-class").addEventListener("submit", async (event) => {
  event.preventDefault();
  const field = byId("class-name");
  const name = sameForm(field.value.trim());
  if (!name) return;
  field.value = "";
  await change(() => api.createClass(shelf.id, name));
});
byId("keep").addEventListener("change", (event) => change(() => api.changeShelf(shelf.id, { keep_photos: event.target.checked })));
byId("delete").addEventListener("click", async () => {
  await started;
  const photos = shelf.classes.reduce((sum, one) => sum + one.photos.length, 0);
  if (!(await confirmed(`Delete ${shelf.name}?`, `Its ${counted(photos, "photo")} will go, for good.`, "Delete it"))) return;
  await guarded(async () => {
    await api.deleteShelf(shelf.id, shelf.revision);
    await start("");
  });
});
byId("csv").addEventListener("click", answers.saveCsv);
byId("ask-camera").hidden = !hasCamera();
byId("ask-camera").addEventListener("click", async () => {
  await started;
  const watched = async (file) => answers.words((await api.predict(shelf.id, [file], shelf.revision)).answers[0]);
  const look = shelf.classes.filter((one) => one.photos.length).length > 1 ? (file) => watched(file).catch((error) => error.message) : null;
  openCamera("What is it?", (file) => ask([file]), look).catch(complain);
});
const sort = (files) => guarded(() => sortFiles(shelf, files));
byId("sort-stop").addEventListener("click", stopSorting);
byId("sort-zip").addEventListener("click", () => guarded(saveSorted));
byId("sort-csv").addEventListener("click", saveSortedCsv);
chosen("sort-files", (files) => sort(files.filter(isPhoto)));
takesDrops(byId("sort"), ({ photos, folders }) => sort([...photos, ...folders.flatMap(([, mine]) => mine)]));
chosen("ask-files", ask);
chosen("ask-shot", ask);
chosen("folders", (files) => addFolders(chosenFolders(files)));
chosen("load", ([file]) => guarded(async () => start((await api.loadShelf(file)).id)));
takesDrops(byId("ask"), ({ photos, folders }) => ask([...photos, ...folders.flatMap(([, mine]) => mine)]));
takesDrops(byId("shelf-classes"), ({ photos, folders }) => {
  if (photos.length) complain(new api.Problem(422, "no-class", "These photos are of no class yet. Drop them on a class, or drop a folder with the name of the class."));
  return addFolders(folders);
});
document.addEventListener("paste", (event) => paste(event));
