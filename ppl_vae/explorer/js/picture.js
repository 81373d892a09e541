// Means as pixels: 0 is white paper and 1 black ink, of photographs 1 white; with three channels they are red, green and
// blue. Of a table with names the large picture is a list of its columns.

const HOLE = [1, 3, 5].map((start) => parseInt(DATA.hole.slice(start, start + 2), 16));

/** Give a canvas the pixels of one picture; style enlarges it. */
function sized(canvas) {
  canvas.width = PICTURE.width;
  canvas.height = PICTURE.height;
  return canvas;
}

function paint(canvas, means) {
  const context = canvas.getContext("2d");
  const image = context.createImageData(PICTURE.width, PICTURE.height);
  const { channels, bright } = PICTURE;
  for (let pixel = 0; pixel < image.data.length / 4; pixel++) {
    for (let color = 0; color < 3; color++) {
      const at = channels === 3 ? 3 * pixel + color : pixel;
      const level = levelOf(means[at], at);
      // Storing rounds, and takes what is outside [0, 255] to the nearer end.
      image.data[4 * pixel + color] = Number.isNaN(level) ? HOLE[color] : 255 * (bright ? level : 1 - level);
    }
    image.data[4 * pixel + 3] = 255;
  }
  context.putImageData(image, 0, 0);
}

const number = (value) => value.toFixed(2).replace(/^-0\.00$/, "0.00").replace("-", "−");

/** A number in three digits. */
const short = (value) => {
  const size = Math.abs(value);
  if (size >= 1e3 && size < 1e6) return value.toFixed(0).replace("-", "−");
  if (size && (size < 1e-4 || size >= 1e6)) return value.toExponential(2).replace("+", "").replaceAll("-", "−");
  return String(Number(value.toPrecision(3))).replace("-", "−");
};

const columns = DATA.columns.map((name, at) => {
  const [words, track, value] = Array.from({ length: 3 }, () => document.createElement("span"));
  const dot = document.createElement("i");
  words.textContent = name;
  track.className = "track";
  track.title = `${short(leastOf(at))} to ${short(fromLevel(1, at))} in training`;
  value.className = "value";
  track.append(dot);
  element("columns").append(words, track, value);
  return { dot, value };
});
element("columns").hidden = columns.length === 0;
element("picture").hidden = columns.length > 0;

const picture = sized(element("picture"));
const where = [0, 1, 2].map(() => document.createElement("span")); // both axes and the label
element("where").append(...where);
shows(() => {
  const means = decode(state.z);
  paint(picture, means);
  for (const [at, { dot, value }] of columns.entries()) {
    dot.style.left = `${100 * Math.max(0, Math.min(1, levelOf(means[at], at)))}%`;
    say(value, short(means[at]));
  }
  for (const [axis, unit] of state.axes.entries()) {
    if (unit !== null) say(where[axis], `${DATA.names[unit]} = ${number(state.z[unit])}`);
  }
  if (NUM_CLASSES) say(where[2], `y = ${DATA.classes[state.label]}`);
});

element("reset").addEventListener("click", () => setZ(new Float32Array(SIZE)));
element("draw-prior").addEventListener("click", () => setZ(Float32Array.from({ length: SIZE }, normal)));

// The labels of a conditional model.
const labelButtons = DATA.offered.map((label) => {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = DATA.classes[label];
  button.setAttribute("aria-label", `label ${DATA.classes[label]}`);
  button.addEventListener("click", () => setLabel(label));
  return button;
});
element("labels").append(...labelButtons);
let pressed = null;
shows(() => {
  if (pressed === state.label) return;
  pressed = state.label;
  labelButtons.forEach((button, n) => button.setAttribute("aria-pressed", DATA.offered[n] === pressed));
});
