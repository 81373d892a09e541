// The latent plane: where the data lie, where z is, and where q puts an image.

const plane = element("plane");
let pen = plane.getContext("2d"); // of the canvas that is drawn on
const TILES = 13; // of the means over the plane, from left to right
const ROWS = state.axes[1] === null ? 1 : TILES;
const tiles = document.createElement("canvas");
const backdrop = document.createElement("canvas"); // what stays while z moves
const tile = sized(document.createElement("canvas"));
let scale = 1; // pixels of the canvas in a pixel of style
const font = () => `${13 * scale}px system-ui, sans-serif`;

const toPixel = (value) => (0.5 + value / state.reach / 2) * plane.width;
const across = (z) => toPixel(z[state.axes[0]]);
/** Up is up. With a single unit there is no up: dots are then spread, and everything else is in the middle. */
const up = (z, spread = 0) => plane.width - toPixel(state.axes[1] === null ? spread * state.reach : z[state.axes[1]]);

shows(function drawPlane() {
  pen.clearRect(0, 0, plane.width, plane.width);
  pen.font = font();
  if (element("grid").checked) drawTiles();
  pen.drawImage(drawnBackdrop(), 0, 0);
  if (state.placed) drawEllipses(state.placed);
  state.ends.forEach((end, number) => end && drawLetter(end, "AB"[number]));
  drawHere();
});

let backdropOf = "";

function drawnBackdrop() {
  const wanted = [state.axes, state.reach, plane.width].join();
  if (wanted !== backdropOf) {
    backdropOf = wanted;
    backdrop.width = backdrop.height = plane.width; // which clears it
    const front = pen;
    pen = backdrop.getContext("2d");
    pen.font = font();
    drawPrior();
    drawDots();
    pen = front;
  }
  return backdrop;
}

function drawPrior() {
  for (const radius of [1, 2, 3]) {
    pen.beginPath();
    if (state.axes[1] !== null) pen.arc(toPixel(0), toPixel(0), toPixel(radius) - toPixel(0), 0, 2 * Math.PI);
    else
      for (const end of [-radius, radius]) {
        pen.moveTo(toPixel(end), 0);
        pen.lineTo(toPixel(end), plane.width);
      }
    pen.strokeStyle = "#bbb";
    pen.lineWidth = 1.5 * scale;
    pen.stroke();
    const corner = state.axes[1] === null ? radius : radius * Math.SQRT1_2;
    write(radius, toPixel(-corner), toPixel(corner), "center");
  }
  const edge = 8 * scale;
  write(`${DATA.names[state.axes[0]]} →`, plane.width - edge, toPixel(0), "right");
  if (state.axes[1] !== null) write(`${DATA.names[state.axes[1]]} ↑`, toPixel(0), 1.5 * edge, "center");
}

/** Words that are read on any ground. */
function write(words, x, y, align) {
  pen.textAlign = align;
  pen.textBaseline = "middle";
  pen.strokeStyle = "#fff";
  pen.lineWidth = 4 * scale;
  pen.strokeText(words, x, y);
  pen.fillStyle = "#555";
  pen.fillText(words, x, y);
}

function drawDots() {
  pen.globalAlpha = 0.8;
  for (let n = 0; n < NUM_POINTS; n++) {
    const z = MEANS.subarray(n * SIZE, (n + 1) * SIZE);
    pen.fillStyle = DATA.labels ? DATA.colors[DATA.labels[n]] : "#3f90da";
    pen.beginPath();
    pen.arc(across(z), up(z, ((n * 0.618) % 1) - 0.5), 3.2 * scale, 0, 2 * Math.PI);
    pen.fill();
  }
  pen.globalAlpha = 1;
}

/** A line that is seen on any ground. */
function outline(width = 2) {
  pen.strokeStyle = "#fff";
  pen.lineWidth = (width + 2) * scale;
  pen.stroke();
  pen.strokeStyle = "#111";
  pen.lineWidth = width * scale;
  pen.stroke();
}

/** One and two standard deviations of q's marginal in this plane. */
function drawEllipses({ mean, covariance }) {
  const [i, j] = state.axes;
  const [a, b, c] = j === null ? [covariance(i, i), 0, 0] : [covariance(i, i), covariance(i, j), covariance(j, j)];
  const middle = (a + c) / 2;
  const apart = Math.hypot((a - c) / 2, b);
  const radii = [middle + apart, middle - apart].map((variance) => Math.sqrt(Math.max(0, variance)));
  const [long, short] = radii.map((radius) => toPixel(radius) - toPixel(0));
  const angle = 0.5 * Math.atan2(2 * b, a - c);
  for (const [deviations, dashes] of [[2, [6 * scale, 4 * scale]], [1, []]]) {
    pen.setLineDash(dashes);
    pen.beginPath();
    pen.ellipse(across(mean), up(mean), deviations * long, deviations * short, -angle, 0, 2 * Math.PI);
    outline(1.5);
  }
  pen.setLineDash([]);
}

function drawHere() {
  const [x, y, size] = [across(state.z), up(state.z), 10 * scale];
  pen.beginPath();
  pen.moveTo(x - size, y);
  pen.lineTo(x + size, y);
  pen.moveTo(x, y - size);
  pen.lineTo(x, y + size);
  outline(2.5);
}

function drawLetter(z, letter) {
  pen.beginPath();
  pen.arc(across(z), up(z), 9 * scale, 0, 2 * Math.PI);
  pen.fillStyle = "#fff";
  pen.fill();
  outline(1.5);
  write(letter, across(z), up(z), "center");
}

// The means over the plane take longer than a frame: a few are decoded at a time, over those that were there.
let tilesOf = "";
let nextTile = 0;
let tilesLeft = 0;

function drawTiles() {
  const others = state.z.map((value, unit) => (state.axes.includes(unit) ? 0 : value));
  const wanted = [state.label, state.axes, state.reach, plane.width, others].join();
  if (wanted !== tilesOf) tilesLeft = TILES * ROWS;
  tilesOf = wanted;
  if (tiles.width !== plane.width) tiles.width = tiles.height = plane.width;
  for (const start = performance.now(); tilesLeft > 0 && performance.now() - start < 8; tilesLeft--) {
    drawTile(nextTile);
    nextTile = (nextTile + 1) % (TILES * ROWS);
  }
  pen.globalAlpha = 0.7;
  pen.drawImage(tiles, 0, 0);
  pen.globalAlpha = 1;
  if (tilesLeft > 0) changed();
}

function drawTile(index) {
  const [column, row] = [index % TILES, Math.floor(index / TILES)];
  const middle = (place) => ((2 * place + 1) / TILES - 1) * state.reach;
  const z = state.z.slice();
  z[state.axes[0]] = middle(column);
  if (state.axes[1] !== null) z[state.axes[1]] = -middle(row);
  paint(tile, decode(z));
  const side = plane.width / TILES;
  const left = column * side;
  const top = (ROWS === 1 ? (TILES - 1) / 2 : row) * side;
  const width = PICTURE.strip ? 0.9 * side : side * Math.min(1, PICTURE.width / PICTURE.height);
  const height = PICTURE.strip ? side / 2 : side * Math.min(1, PICTURE.height / PICTURE.width);
  const context = tiles.getContext("2d");
  context.clearRect(left, top, side, side);
  context.drawImage(tile, left + (side - width) / 2, top + (side - height) / 2, width, height);
}

// Pointer, touch and keys.
function follow(event) {
  const box = plane.getBoundingClientRect();
  const place = (part) => Math.max(-1, Math.min(1, 2 * part - 1)) * state.reach;
  const z = state.z.slice();
  z[state.axes[0]] = place((event.clientX - box.left) / box.width);
  if (state.axes[1] !== null) z[state.axes[1]] = -place((event.clientY - box.top) / box.height);
  setZ(z);
}
plane.addEventListener("pointerdown", (event) => {
  plane.setPointerCapture(event.pointerId);
  follow(event);
});
plane.addEventListener("pointermove", (event) => plane.hasPointerCapture(event.pointerId) && follow(event));

const STEPS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowDown: [1, -1], ArrowUp: [1, 1] };
plane.addEventListener("keydown", (event) => {
  if (event.key === "Home") setZ(new Float32Array(SIZE));
  else if (STEPS[event.key]) {
    const [axis, sign] = STEPS[event.key];
    const unit = state.axes[axis];
    if (unit !== null) setUnit(unit, state.z[unit] + sign * (event.shiftKey ? 0.5 : 0.1));
  } else return;
  event.preventDefault();
});
element("grid").addEventListener("change", changed);

new ResizeObserver(() => {
  scale = window.devicePixelRatio || 1;
  plane.width = plane.height = Math.round(plane.clientWidth * scale);
  draw();
}).observe(plane);

// Which plane, and whose dots.
const menus = [element("across"), element("up")];
element("axes-row").hidden = SIZE <= 2;
for (const [axis, menu] of menus.entries()) {
  for (const unit of DATA.order) menu.append(new Option(`${DATA.names[unit]}${klInWords(unit)}`, unit));
  menu.addEventListener("change", () => {
    const axes = [...state.axes];
    const chosen = Number(menu.value);
    if (axes[1 - axis] === chosen) axes[1 - axis] = axes[axis]; // the same twice is no plane: they change places
    axes[axis] = chosen;
    setAxes(...axes);
  });
  shows(() => {
    if (menu.value !== String(state.axes[axis])) menu.value = state.axes[axis];
  });
}
function klInWords(unit) {
  return DATA.kl[unit] === null ? "" : `, KL ${number(DATA.kl[unit])}`;
}

const present = DATA.labels ? [...new Set(DATA.labels)].sort((a, b) => a - b) : [];
for (const label of present.slice(0, 50)) {
  const entry = document.createElement("li");
  entry.textContent = DATA.classes[label];
  entry.style.setProperty("--color", DATA.colors[label]);
  element("legend").append(entry);
}
element("legend").hidden = present.length === 0;
