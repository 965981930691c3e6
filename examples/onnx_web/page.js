// The page: a model is chosen, then photos, and the most probable classes are shown.
import * as ort from "./node_modules/onnxruntime-web/dist/ort.wasm.min.mjs";
import { metadata } from "./metadata.js";
import { prepared } from "./pixels.js";

const FALSE_ALARMS = "0.05"; // the share of photos of known classes that may be called unknown
const SHOWN = 3;
const at = (id) => document.getElementById(id);
let session, told;

ort.env.wasm.wasmPaths = new URL("./node_modules/onnxruntime-web/dist/", import.meta.url).href;
ort.env.wasm.numThreads = 1; // more need the headers of cross-origin isolation

at("model").addEventListener("change", (event) => attempt(async () => {
  at("status").textContent = "Loading the model";
  const bytes = new Uint8Array(await event.target.files[0].arrayBuffer());
  told = metadata(bytes);
  session = await ort.InferenceSession.create(bytes, { executionProviders: ["wasm"] });
  at("photo").disabled = false;
  at("status").textContent = `Ready: ${told.classes.length} classes. Choose a photo.`;
}));

at("photo").addEventListener("change", (event) => attempt(async () => {
  const [file] = event.target.files;
  const { side } = told.preprocessing;
  const pixels = prepared(await createImageBitmap(file), told.preprocessing);
  const found = await session.run({ images: new ort.Tensor("uint8", pixels, [1, side, side, 3]) });
  at("shown").src = URL.createObjectURL(file);
  at("shown").hidden = false;
  show(found);
}));

function show(found) {
  const probabilities = [...found.probabilities.data];
  const order = probabilities.map((_, n) => n).sort((a, b) => probabilities[b] - probabilities[a]);
  const least = told.unknown[FALSE_ALARMS];
  const unknown = found.known_score && found.known_score.data[0] < least;
  at("status").textContent = unknown ? "None of these, it seems" : String(told.classes[order[0]]);
  at("answers").replaceChildren(...order.slice(0, SHOWN).map((n) => {
    const row = document.createElement("tr");
    for (const text of [told.classes[n], `${(100 * probabilities[n]).toFixed(1)}%`]) {
      row.insertCell().textContent = text;
    }
    return row;
  }));
}

async function attempt(work) {
  try {
    await work();
  } catch (error) {
    at("status").textContent = `Error: ${error.message}`;
  }
}
