// A ZIP file of files as they are. They are read once, for their checksums, and never held: the result refers to them.

const MOST_FILES = 65_535; // and 4 GB: more needs a newer form of ZIP, which not every program reads
const MOST_BYTES = 2 ** 32 - 1;
const UTF8 = 0x0800; // names are UTF-8

const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit += 1) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  return value;
});

async function checksum(blob) {
  let value = 0xffffffff;
  const reader = blob.stream().getReader();
  for (;;) {
    const { done, value: bytes } = await reader.read();
    if (done) return (value ^ 0xffffffff) >>> 0;
    for (const byte of bytes) value = TABLE[(value ^ byte) & 0xff] ^ (value >>> 8);
  }
}

// Numbers of 2 or 4 bytes, the least byte first: [[value, bytes], ...].
function packed(fields) {
  const view = new DataView(new ArrayBuffer(fields.reduce((sum, [, size]) => sum + size, 0)));
  let at = 0;
  for (const [value, size] of fields) {
    if (size === 2) view.setUint16(at, value, true);
    else view.setUint32(at, value, true);
    at += size;
  }
  return view;
}

function moment(milliseconds) {
  const when = new Date(Math.max(milliseconds, Date.UTC(1980, 1)));
  const time = (when.getHours() << 11) | (when.getMinutes() << 5) | (when.getSeconds() >> 1);
  return [time, ((when.getFullYear() - 1980) << 9) | ((when.getMonth() + 1) << 5) | when.getDate()];
}

// Files as [path, blob]; `told` is called with how many are done.
export async function zipped(files, told) {
  const total = files.reduce((sum, [path, blob]) => sum + blob.size + 2 * path.length * 3 + 80, 0);
  if (files.length > MOST_FILES || total > MOST_BYTES) throw new Error("That is more than a ZIP file holds, 4 GB or 65,535 photos. Sort fewer at once.");
  const parts = [];
  const directory = [];
  let offset = 0;
  for (const [number, [path, blob]] of files.entries()) {
    const name = new TextEncoder().encode(path);
    const [time, date] = moment(blob.lastModified ?? Date.now());
    const common = [[20, 2], [UTF8, 2], [0, 2], [time, 2], [date, 2], [await checksum(blob), 4], [blob.size, 4], [blob.size, 4], [name.length, 2], [0, 2]];
    parts.push(packed([[0x04034b50, 4], ...common]), name, blob);
    directory.push(packed([[0x02014b50, 4], [20, 2], ...common, [0, 2], [0, 2], [0, 2], [0, 4], [offset, 4]]), name);
    offset += 30 + name.length + blob.size;
    told(number + 1);
  }
  const size = directory.reduce((sum, one) => sum + one.byteLength, 0);
  const end = packed([[0x06054b50, 4], [0, 2], [0, 2], [files.length, 2], [files.length, 2], [size, 4], [offset, 4], [0, 2]]);
  return new Blob([...parts, ...directory, end], { type: "application/zip" });
}
