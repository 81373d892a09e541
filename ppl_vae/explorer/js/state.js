// What the page shows now, and the two networks. Whoever changes the state says `changed()`; whoever shows something
// of it is listed by `shows` and redrawn before the next frame.

const DATA = JSON.parse(document.getElementById("data").textContent);
const SIZE = DATA.names.length; // of z
const NUM_CLASSES = DATA.num_classes;
const PICTURE = DATA.picture;
const MEANS = unpacked(DATA.means); // (N, SIZE), of q(z | x) of the images
const NUM_POINTS = MEANS.length / SIZE;
const IMAGES = unpacked(DATA.images); // (M, ...): bytes, 255 for 1, or numbers as they are
const PIXELS = PICTURE.height * PICTURE.width * PICTURE.channels;
const element = (id) => document.getElementById(id);
const meanOf = (n) => MEANS.slice(n * SIZE, (n + 1) * SIZE);

const decoderNetwork = network(DATA.decoder);
const encoderNetwork = DATA.placement && network(DATA.placement.encoder);

const state = {
  z: new Float32Array(SIZE),
  label: DATA.offered[0] ?? 0,
  // The units across and up. A plane is shown as the pictures of the run show it; of more units, the two most used.
  axes: SIZE === 1 ? [0, null] : SIZE === 2 ? [0, 1] : [DATA.order[0], DATA.order[1]],
  reach: 3.5, // of plane and sliders, to either side
  placed: null, // q of the image last placed, and the label that it was asked with
  ends: [null, null], // A and B of the walk
};

// Pictures have levels from 0 to 1: where x is not in [0, 1], from the smallest to the largest number in training.
const endOf = (ends, at, otherwise) => (ends.length ? ends[ends.length === 1 ? 0 : at] : otherwise);
const leastOf = (at) => endOf(DATA.least, at, 0);
const rangeOf = (at) => endOf(DATA.largest, at, 1) - leastOf(at) || 1;
const levelOf = (x, at) => (x - leastOf(at)) / rangeOf(at);
const fromLevel = (level, at) => leastOf(at) + level * rangeOf(at);

// From the decoder's numbers to means; of counts as far as their likelihood has rates.
const LINKS = { sigmoid, identity: (x) => x, exp: (x) => Math.exp(Math.min(Math.max(x, -20), 20)) };

/** E[x | z], or E[x | z, label]: the means, row by row. */
function decode(z, label = state.label) {
  return decoderNetwork(withLabel(z, label, NUM_CLASSES)).map(LINKS[DATA.link]);
}

/** q(z | x), or q(z | x, label), of x, row by row: {mean, std, covariance(i, j)}. Null without an encoder. */
function encode(x, label = state.label) {
  if (!encoderNetwork) return null;
  return moments(DATA.placement.family, encoderNetwork(withLabel(x, label, NUM_CLASSES)), SIZE);
}

/** Change words only where they change: a page is laid out anew for those that are the same, too. */
function say(node, words) {
  if (node.textContent !== words) node.textContent = words;
}

const parts = [];
let scheduled = false;
const shows = (part) => parts.push(part);
function draw() {
  scheduled = false;
  for (const part of parts) part();
}
function changed() {
  if (!scheduled) requestAnimationFrame(draw);
  scheduled = true;
}

/** Make plane and sliders wide enough. In float32, as z is: their end is then a place that they have. */
function widen(z) {
  for (const value of z) if (Math.abs(value) > state.reach) state.reach = Math.fround(1.05 * Math.abs(value));
}
widen(MEANS);

/** Go to a latent. */
function setZ(z) {
  state.z = Float32Array.from(z);
  widen(state.z);
  changed();
}
/** Move along one unit, to the end of plane and sliders at most. */
function setUnit(unit, value) {
  const z = state.z.slice();
  z[unit] = Math.max(-state.reach, Math.min(state.reach, value));
  setZ(z);
}
/** Give the model another label, at the same z. */
function setLabel(label) {
  state.label = label;
  changed();
}
/** Show another plane: the numbers of the units across and up. */
function setAxes(across, up) {
  state.axes = [across, up];
  changed();
}

/** A draw from N(0, 1) (Box and Muller 1958). */
const normal = () => Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());
