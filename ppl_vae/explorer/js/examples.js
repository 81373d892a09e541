// Datapoints: touch one and go where q puts it.

const NUM_EXAMPLES = IMAGES.length / PIXELS;
const inBytes = IMAGES instanceof Uint8Array ? 255 : 1;
const imageOf = (n) => Float32Array.from(IMAGES.subarray(n * PIXELS, (n + 1) * PIXELS), (x) => x / inBytes);

/** A small picture that is a button. */
function thumbnail(name, act) {
  const button = document.createElement("button");
  const canvas = sized(document.createElement("canvas"));
  button.type = "button";
  button.setAttribute("aria-label", name);
  canvas.className = "image";
  button.append(canvas);
  button.addEventListener("click", act);
  return { button, canvas };
}

for (let n = 0; n < NUM_EXAMPLES; n++) {
  const named = DATA.labels ? `, label ${DATA.classes[DATA.labels[n]]}` : "";
  const { button, canvas } = thumbnail(`datapoint ${n + 1} of the data${named}`, () => {
    if (NUM_CLASSES) state.label = DATA.labels[n];
    if (encoderNetwork && !imageOf(n).some(Number.isNaN)) setImage(imageOf(n));
    else setZ(meanOf(n));
  });
  paint(canvas, imageOf(n));
  element("examples").append(button);
}
element("examples-help").textContent = encoderNetwork
  ? "Or take one of the data:"
  : "Datapoints of the run; touch one and go to the mean of its q.";
