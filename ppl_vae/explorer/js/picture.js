// Means as pixels: 0 is white paper and 1 black ink; with three channels they are red, green and blue.

/** Give a canvas the pixels of one picture; style enlarges it. */
function sized(canvas) {
  canvas.width = PICTURE.width;
  canvas.height = PICTURE.height;
  return canvas;
}

function paint(canvas, means) {
  const context = canvas.getContext("2d");
  const image = context.createImageData(PICTURE.width, PICTURE.height);
  const { channels } = PICTURE;
  for (let pixel = 0; pixel < image.data.length / 4; pixel++) {
    for (let color = 0; color < 3; color++) {
      // Storing rounds, and takes what is outside [0, 255] to the nearer end.
      image.data[4 * pixel + color] = channels === 3 ? 255 * means[3 * pixel + color] : 255 * (1 - means[pixel]);
    }
    image.data[4 * pixel + 3] = 255;
  }
  context.putImageData(image, 0, 0);
}

const number = (value) => value.toFixed(2).replace(/^-0\.00$/, "0.00").replace("-", "−");

const picture = sized(element("picture"));
const where = [0, 1, 2].map(() => document.createElement("span")); // both axes and the label
element("where").append(...where);
shows(() => {
  paint(picture, decode(state.z));
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
