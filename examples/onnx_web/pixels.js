// A photo as the model takes it: side x side pixels of red, green and blue, scaled as Pillow does. The canvas scales in
// its own way, which differs between browsers; the model was taught with this one.
const FILTERS = {
  bilinear: [1, (x) => Math.max(0, 1 - Math.abs(x))],
  bicubic: [2, (x) => {
    const a = -0.5, d = Math.abs(x);
    if (d < 1) return ((a + 2) * d - (a + 3)) * d * d + 1;
    return d < 2 ? (((d - 5) * d + 8) * d - 4) * a : 0;
  }],
  lanczos: [3, (x) => (Math.abs(x) < 3 ? sinc(x) * sinc(x / 3) : 0)],
};

const sinc = (x) => (x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x));

export function prepared(bitmap, { side, fit, interpolation }) {
  const { width, height } = bitmap;
  const short = Math.min(width, height);
  const size = fit === "crop"
    ? [Math.floor((side * width) / short), Math.floor((side * height) / short)]
    : [side, side];
  const rows = scaled(rgb(bitmap), width, height, size[0], FILTERS[interpolation]); // across, then down
  const turned = scaled(transposed(rows, size[0], height), height, size[0], size[1], FILTERS[interpolation]);
  return middle(transposed(turned, size[1], size[0]), size, side);
}

function rgb(bitmap) {
  const { width, height } = bitmap;
  const context = new OffscreenCanvas(width, height).getContext("2d");
  context.fillStyle = "white"; // transparency is laid on white
  context.fillRect(0, 0, width, height);
  context.drawImage(bitmap, 0, 0);
  const { data } = context.getImageData(0, 0, width, height);
  const pixels = new Uint8Array(width * height * 3);
  for (let from = 0, to = 0; from < data.length; from += 4, to += 3) {
    pixels.set(data.subarray(from, from + 3), to);
  }
  return pixels;
}

// Each row of width pixels becomes one of length pixels. The filter is widened where there are to be fewer.
function scaled(pixels, width, height, length, [reach, filter]) {
  if (width === length) return pixels;
  const scale = width / length, wide = Math.max(scale, 1), support = reach * wide;
  const result = new Uint8Array(length * height * 3);
  for (let column = 0; column < length; column++) {
    const centre = (column + 0.5) * scale;
    const first = Math.max(0, Math.floor(centre - support + 0.5));
    const last = Math.min(width, Math.floor(centre + support + 0.5));
    const weights = Array.from({ length: last - first }, (_, i) => filter((first + i - centre + 0.5) / wide));
    const total = weights.reduce((sum, one) => sum + one, 0);
    for (let row = 0; row < height; row++) {
      for (let channel = 0; channel < 3; channel++) {
        let sum = 0;
        for (let i = 0; i < weights.length; i++) {
          sum += weights[i] * pixels[(row * width + first + i) * 3 + channel];
        }
        result[(row * length + column) * 3 + channel] = Math.min(255, Math.max(0, Math.round(sum / total)));
      }
    }
  }
  return result;
}

function transposed(pixels, width, height) {
  const result = new Uint8Array(pixels.length);
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      result.set(pixels.subarray((row * width + column) * 3, (row * width + column) * 3 + 3), (column * height + row) * 3);
    }
  }
  return result;
}

// As Python rounds: 6.5 is 6, and 7.5 is 8.
const halfToEven = (x) => (x % 1 === 0.5 ? 2 * Math.round(x / 2) : Math.round(x));

function middle(pixels, [width, height], side) {
  const [left, top] = [width, height].map((length) => halfToEven((length - side) / 2));
  if (width === side && height === side) return pixels;
  const result = new Uint8Array(side * side * 3);
  for (let row = 0; row < side; row++) {
    const from = ((top + row) * width + left) * 3;
    result.set(pixels.subarray(from, from + side * 3), row * side * 3);
  }
  return result;
}
