// Photos that come in: dropped, pasted, taken from folders.

export const isPhoto = (file) => file.type.startsWith("image/") || /\.(heic|heif|avif|tiff?|jp2|webp)$/i.test(file.name);

// Accents in one form, whatever the system: a Mac writes the name of a folder in another form than a keyboard.
export const sameForm = (name) => name.normalize("NFC");

async function below(entry, found) {
  if (entry.isFile) {
    found.push(await new Promise((resolve, reject) => entry.file(resolve, reject)));
    return;
  }
  const reader = entry.createReader();
  for (;;) {
    const entries = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!entries.length) return;
    for (const one of entries) await below(one, found);
  }
}

// What was dropped: photos by themselves, and folders as [name, photos].
export async function dropped(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.length) return { photos: [...transfer.files].filter(isPhoto), folders: [] };
  const photos = [];
  const folders = [];
  for (const entry of entries) {
    const found = [];
    await below(entry, found);
    if (entry.isDirectory) folders.push([sameForm(entry.name), found.filter(isPhoto)]);
    else photos.push(...found.filter(isPhoto));
  }
  return { photos, folders };
}

// Folders of a chosen folder as [name, photos]; photos beside them are of a class of the folder's own name.
export function chosenFolders(files) {
  const folders = new Map();
  for (const file of files) {
    const parts = file.webkitRelativePath.split("/");
    const name = sameForm(parts.length > 2 ? parts[1] : parts[0]);
    if (isPhoto(file)) folders.set(name, [...(folders.get(name) ?? []), file]);
  }
  return [...folders];
}

export const pasted = (data) => [...(data?.files ?? [])].filter(isPhoto);

// An element that takes what is dropped on it.
export function takesDrops(element, take) {
  const over = (on) => (event) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    element.classList.toggle("over", on);
  };
  element.addEventListener("dragover", over(true));
  element.addEventListener("dragleave", over(false));
  element.addEventListener("drop", async (event) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    event.stopPropagation();
    element.classList.remove("over");
    const entries = dropped(event.dataTransfer); // begun before the event ends, or the browser forgets them
    take(await entries);
  });
}

export function saveBlob(name, blob) {
  const address = URL.createObjectURL(blob);
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}

// A field of a CSV file; what a spreadsheet would run gets an apostrophe.
export function field(value) {
  const text = String(value ?? "");
  const safe = /^[=+\-@\t\r]/.test(text) && Number.isNaN(Number(text)) ? `'${text}` : text;
  return /[",\n\r]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
