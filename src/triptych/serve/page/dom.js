// Elements from names and values. Texts are always texts: nothing that somebody typed is read as HTML.

export const byId = (id) => document.getElementById(id);

export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name in element) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

// A picture of a file. Its address, which keeps the file in memory, ends when the picture is there, or not wanted any more.
export function pictureOf(file, properties) {
  const address = URL.createObjectURL(file);
  const forget = () => URL.revokeObjectURL(address);
  return Object.assign(make("img", { ...properties, src: address, onload: forget, onerror: forget }), { forget });
}

export const counted = (number, noun) => `${number} ${noun}${number === 1 ? "" : "s"}`;

export function sureness(probability) {
  if (probability >= 0.995 && probability < 1) return ">99%";
  if (probability > 0 && probability < 0.005) return "<1%";
  return `${Math.round(100 * probability)}%`;
}

// How sure an answer is, for who would rather not read figures.
export const certainty = (probability) => (probability >= 0.95 ? "sure" : probability >= 0.75 ? "fairly sure" : "unsure");

// A dialog with a title; answers with what its buttons give, or null when it is closed.
export function dialog(title, build) {
  const box = byId("dialog");
  return new Promise((resolve) => {
    let given = null;
    const close = (value) => {
      given = value;
      box.close();
    };
    const ended = () => {
      box.removeEventListener("close", ended);
      box.replaceChildren();
      resolve(given);
    };
    box.addEventListener("close", ended);
    const content = build(close);
    const row = content.matches(".toolbar") ? content : (content.querySelector(":scope > .buttons:last-child") ?? make("div", { className: "buttons" }));
    row.append(make("button", { type: "button", onclick: () => close(null) }, "Close"));
    box.replaceChildren(make("h2", { id: "dialog-title" }, title), content, ...(content.contains(row) ? [] : [row]));
    box.showModal();
  });
}

// Asks for one line of text.
export function askFor(title, label, value = "", type = "text") {
  return dialog(title, (close) => {
    const field = make("input", { id: "dialog-field", type, value, maxLength: 200, required: true });
    const submit = (event) => {
      event.preventDefault();
      close(field.value.trim());
    };
    return make("form", { className: "toolbar", onsubmit: submit }, make("label", { htmlFor: "dialog-field" }, label), field, make("button", { type: "submit", className: "main" }, "OK"));
  });
}

export const confirmed = (title, text, action) =>
  dialog(title, (close) => make("div", {}, make("p", {}, text), make("div", { className: "buttons" }, make("button", { type: "button", className: "danger", onclick: () => close(true) }, action))));
