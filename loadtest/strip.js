// The reader of the clock strip for a browser: the twin of streamd/programme/strip.py, with the same coordinates,
// the same middle-of-the-cell sampling and the same CRC. Plain script, no modules: it is injected into a page.

const STRIP = { left: 128 / 1280, top: 672 / 720, width: 1024 / 1280, height: 32 / 720, cells: 64 };

function stripCrc16(bytes) {
  let crc = 0xffff;
  for (const byte of bytes) {
    crc ^= byte << 8;
    for (let bit = 0; bit < 8; bit += 1) crc = (crc & 0x8000 ? (crc << 1) ^ 0x1021 : crc << 1) & 0xffff;
  }
  return crc;
}

// `levels`: 64 brightness levels. Returns Unix milliseconds, or null when this is not a clean strip.
function stripDecode(levels) {
  const darkest = Math.min(...levels);
  const brightest = Math.max(...levels);
  if (brightest - darkest < 64) return null;
  const middle = (darkest + brightest) / 2;
  const bytes = new Array(8).fill(0);
  levels.forEach((level, cell) => {
    if (level > middle) bytes[cell >> 3] |= 0x80 >> (cell & 7);
  });
  if (stripCrc16(bytes.slice(0, 6)) !== bytes[6] * 256 + bytes[7]) return null;
  return bytes.slice(0, 6).reduce((value, byte) => value * 256 + byte, 0);
}

// `rgba`: pixels of a crop that holds the strip and nothing else, `width` × `height`.
function stripReadRgba(rgba, width, height) {
  const cellWidth = width / STRIP.cells;
  const levels = [];
  for (let cell = 0; cell < STRIP.cells; cell += 1) {
    const first = Math.round((cell + 0.25) * cellWidth);
    const end = Math.max(Math.round((cell + 0.75) * cellWidth), first + 1);
    const top = Math.round(0.25 * height);
    const bottom = Math.max(Math.round(0.75 * height), top + 1);
    let sum = 0;
    for (let y = top; y < bottom; y += 1) {
      for (let x = first; x < end; x += 1) {
        const at = 4 * (y * width + x);
        sum += 0.2126 * rgba[at] + 0.7152 * rgba[at + 1] + 0.0722 * rgba[at + 2];
      }
    }
    levels.push(sum / ((end - first) * (bottom - top)));
  }
  return stripDecode(levels);
}

// The moment that a <video> shows now. `canvas` is reused from call to call.
function stripReadVideo(video, canvas) {
  const width = 256;
  const height = 8;
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const { videoWidth, videoHeight } = video;
  context.drawImage(
    video,
    STRIP.left * videoWidth, STRIP.top * videoHeight, STRIP.width * videoWidth, STRIP.height * videoHeight,
    0, 0, width, height,
  );
  return stripReadRgba(context.getImageData(0, 0, width, height).data, width, height);
}
