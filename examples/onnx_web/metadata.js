// What a model says of itself. ONNX Runtime for the web does not tell it, so the file is read: a protobuf message, in
// which field 14 of the model is a list of entries with a key (field 1) and a value (field 2).
const ENTRIES = 14, KEY = 1, VALUE = 2, TEXTS = ["method", "precision", "fingerprint", "triptych"];

export function metadata(bytes) {
  const told = {};
  for (const [field, entry] of fields(bytes)) {
    if (field !== ENTRIES) continue;
    const parts = Object.fromEntries(fields(entry));
    const key = text(parts[KEY]), value = text(parts[VALUE]);
    told[key] = TEXTS.includes(key) ? value : JSON.parse(value);
  }
  if (!told.triptych) throw new Error("not a model that triptych export wrote");
  return told;
}

function* fields(bytes) {
  let at = 0;
  const number = () => {
    let value = 0, scale = 1, byte;
    do {
      byte = bytes[at++];
      value += (byte & 127) * scale;
      scale *= 128;
    } while (byte > 127);
    return value;
  };
  while (at < bytes.length) {
    const tag = number(), field = Math.floor(tag / 8);
    switch (tag % 8) {
      case 0: number(); break;
      case 1: at += 8; break;
      case 5: at += 4; break;
      case 2: {
        const length = number();
        yield [field, bytes.subarray(at, at + length)];
        at += length;
        break;
      }
      default: throw new Error("not an ONNX model");
    }
  }
}

function text(bytes) {
  return new TextDecoder().decode(bytes ?? new Uint8Array());
}
