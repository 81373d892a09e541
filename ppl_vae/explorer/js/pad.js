// The drawing pad: an image drawn, dropped or opened is encoded, and z goes to the mean of its q.

const pad = sized(element("pad"));
const { width: WIDTH, height: HEIGHT, channels: CHANNELS } = PICTURE;
const PAPER = PICTURE.bright ? 1 : 0; // an image of ink is 1 where the ink is, a photograph 0 where it is black
const INK = 1 - PAPER;
const BRUSH = PICTURE.strip ? 0.5 : Math.max(0.6, WIDTH / 22); // radius, in pixels
const blank = () => new Float32Array(PIXELS).map((_, at) => fromLevel(PAPER, at));
let drawn = blank(); // before it is cut
let byHand = false; // whether it was drawn here: a drawing is gone on with, over anything else one begins anew
let cursor = null; // of the keyboard
let complaint = ""; // about a file

/** What q is given: bits where it knows bits only. */
const asQSeesIt = (x) => (DATA.placement.binarized ? x.map((level) => (level > 0.5 ? 1 : 0)) : x);

/** Place an image, (H × W × channels): z goes to the mean of its q. */
function setImage(x, isByHand = false) {
  drawn = Float32Array.from(x);
  byHand = isByHand;
  showPad();
  state.placed = { ...encode(asQSeesIt(drawn)), label: state.label };
  widen(state.placed.mean.map((mean, unit) => Math.abs(mean) + 2 * state.placed.std[unit]));
  setZ(state.placed.mean);
}

function showPad() {
  paint(pad, asQSeesIt(drawn));
  if (cursor && document.activeElement === pad) {
    const context = pad.getContext("2d");
    context.fillStyle = "#e76300";
    context.fillRect(cursor[0], cursor[1], 1, 1);
  }
}

shows(() => {
  if (state.placed && state.placed.label !== state.label) {
    state.placed = { ...encode(asQSeesIt(drawn)), label: state.label }; // q of the same datapoint, given the label chosen
    changed();
  }
  say(element("placed"), state.placed ? placedInWords() : complaint);
});

function placedInWords() {
  const words = state.axes
    .filter((unit) => unit !== null)
    .map((unit) => `${DATA.names[unit]} = ${number(state.placed.mean[unit])} ± ${number(state.placed.std[unit])}`);
  const given = NUM_CLASSES ? ` given y = ${DATA.classes[state.placed.label]}` : "";
  return `Here q${given} is at ${words.join(", ")} (mean ± standard deviation).`;
}

/** Ink along a line, in pixels; a second stroke over the same place adds nothing. */
function stroke([x0, y0], [x1, y1]) {
  if (!byHand) drawn = blank();
  const steps = Math.max(1, Math.ceil(2 * Math.hypot(x1 - x0, y1 - y0)));
  for (let step = 0; step <= steps; step++) {
    const [x, y] = [x0 + ((x1 - x0) * step) / steps, y0 + ((y1 - y0) * step) / steps];
    for (let row = Math.max(0, Math.floor(y - BRUSH - 1)); row < Math.min(HEIGHT, y + BRUSH + 1); row++) {
      for (let column = Math.max(0, Math.floor(x - BRUSH - 1)); column < Math.min(WIDTH, x + BRUSH + 1); column++) {
        const far = PICTURE.strip ? Math.abs(column + 0.5 - x) : Math.hypot(column + 0.5 - x, row + 0.5 - y);
        const cover = Math.max(0, Math.min(1, BRUSH + 0.5 - far));
        for (let color = 0; color < CHANNELS; color++) {
          const at = (row * WIDTH + column) * CHANNELS + color;
          const level = levelOf(drawn[at], at);
          drawn[at] = fromLevel(INK ? Math.max(level, cover) : Math.min(level, 1 - cover), at);
        }
      }
    }
  }
  setImage(drawn, true);
}

function onPad(event) {
  const box = pad.getBoundingClientRect();
  const [left, top] = [box.left + pad.clientLeft, box.top + pad.clientTop];
  return [((event.clientX - left) / pad.clientWidth) * WIDTH, ((event.clientY - top) / pad.clientHeight) * HEIGHT];
}

let last = null;
pad.addEventListener("pointerdown", (event) => {
  pad.setPointerCapture(event.pointerId);
  cursor = null;
  last = onPad(event);
  stroke(last, last);
});
pad.addEventListener("pointermove", (event) => {
  if (!pad.hasPointerCapture(event.pointerId)) return;
  const here = onPad(event);
  stroke(last, here);
  last = here;
});
pad.addEventListener("keydown", (event) => {
  const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1], " ": [0, 0] };
  if (!moves[event.key]) return;
  event.preventDefault();
  const [x, y] = cursor ?? [Math.floor(WIDTH / 2), Math.floor(HEIGHT / 2)];
  const [right, down] = moves[event.key];
  cursor = [Math.max(0, Math.min(WIDTH - 1, x + right)), Math.max(0, Math.min(HEIGHT - 1, y + down))];
  const centre = [cursor[0] + 0.5, cursor[1] + 0.5];
  if (event.key === " ") stroke(centre, centre);
  else showPad();
});
pad.addEventListener("focus", showPad);
pad.addEventListener("blur", showPad);

element("clear").addEventListener("click", () => {
  drawn = blank();
  showPad();
  state.placed = null;
  complaint = "";
  changed();
});
element("invert").addEventListener("click", () => setImage(drawn.map((x, at) => fromLevel(1 - levelOf(x, at), at))));

/** A file, scaled to fit; a dark edge means white ink on black. */
async function openFile(file) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file);
  } catch {
    complaint = `${file.name} is not an image that this browser can read.`;
    state.placed = null;
    changed();
    return;
  }
  const context = sized(document.createElement("canvas")).getContext("2d");
  context.fillStyle = "#fff";
  context.fillRect(0, 0, WIDTH, HEIGHT); // under what is transparent
  const ratio = Math.min(WIDTH / bitmap.width, HEIGHT / bitmap.height);
  const [width, height] = [bitmap.width * ratio, bitmap.height * ratio];
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, (WIDTH - width) / 2, (HEIGHT - height) / 2, width, height);
  setImage(levels(context.getImageData(0, 0, WIDTH, HEIGHT).data));
}

function levels(rgba) {
  const pixels = Array.from({ length: WIDTH * HEIGHT }, (_, pixel) => rgba.subarray(4 * pixel, 4 * pixel + 3));
  if (CHANNELS === 3) {
    return Float32Array.from(pixels.flatMap((color) => [...color]), (level, at) => fromLevel(level / 255, at));
  }
  const light = pixels.map(([red, green, blue]) => (0.299 * red + 0.587 * green + 0.114 * blue) / 255);
  const edge = light.filter((_, pixel) => {
    const [row, column] = [Math.floor(pixel / WIDTH), pixel % WIDTH];
    return row === 0 || column === 0 || row === HEIGHT - 1 || column === WIDTH - 1;
  });
  const dark = edge.reduce((sum, level) => sum + level, 0) / edge.length < 0.5;
  return Float32Array.from(light, (level, at) => fromLevel(dark || PICTURE.bright ? level : 1 - level, at));
}

const takesFiles = Boolean(encoderNetwork) && !PICTURE.strip; // a picture squeezed into a strip says nothing
element("file").addEventListener("change", ({ target }) => {
  if (target.files.length) openFile(target.files[0]);
  target.value = ""; // so that the same file can be opened again
});
document.addEventListener("dragover", (event) => {
  event.preventDefault(); // or the browser would leave this page for the file
  document.body.classList.toggle("dropping", takesFiles);
});
document.addEventListener("dragleave", () => document.body.classList.remove("dropping"));
document.addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("dropping");
  if (takesFiles && event.dataTransfer.files.length) openFile(event.dataTransfer.files[0]);
});
element("file-label").hidden = !takesFiles;
element("pad-panel").hidden = !encoderNetwork;
element("pad-help").hidden = !encoderNetwork;
element("image-title").textContent = encoderNetwork ? "Where does q put a datapoint?" : "Datapoints";
element("pad-help").textContent =
  (takesFiles
    ? "Draw on the pad, or drop an image anywhere on this page; one with a dark edge is taken for white ink on black. "
    : PICTURE.strip
      ? `Each cell is a number of the datapoint, from ${
          DATA.least.length ? "the smallest in training (white) to the largest" : "0 (white) to 1"
        } (black); drawing over a cell makes it black. `
      : "Draw on the pad. ") +
  (NUM_CLASSES ? "q is asked with the label that is chosen. " : "") +
  (DATA.placement?.family === "point"
    ? "The cross goes to the point that is its q."
    : "The cross goes to the mean of its q; ellipses on the plane are 1 and 2 standard deviations.");
