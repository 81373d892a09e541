// A walk between two latents, straight or along a sphere.

const FRAMES = 9;
const SECONDS = 4;
const play = element("play");
const along = element("along");
let startedAt = null; // of the walk that is being played
let reached = null; // the z that it has come to

/** z at a share t of the way from A to B. */
function between(a, b, t, path) {
  if (t === 0 || t === 1) return Float32Array.from(t ? b : a); // exactly
  let [from, to] = [1 - t, t];
  if (path === "spherical") {
    const cosine = dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
    const angle = Math.acos(Math.max(-1, Math.min(1, cosine)));
    // Where there is no one arc (an end at 0, or both in a line with it), the way is straight.
    const sine = Math.sin(angle);
    if (sine > 1e-6) [from, to] = [Math.sin((1 - t) * angle) / sine, Math.sin(t * angle) / sine];
  }
  return a.map((value, unit) => from * value + to * b[unit]);
}
const dot = (a, b) => a.reduce((sum, value, unit) => sum + value * b[unit], 0);

const path = () => document.querySelector('input[name="path"]:checked').value;
const zAt = (t) => between(state.ends[0], state.ends[1], t, path());

function goTo(t) {
  along.value = t;
  setZ(zAt(t));
  reached = state.z;
}
function stop() {
  startedAt = null;
  play.textContent = "play";
}
function step(now) {
  if (startedAt === null) return;
  if (state.z !== reached) return stop(); // somebody took z elsewhere
  const t = Math.max(0, Math.min(1, (now - startedAt) / 1000 / SECONDS)); // a frame's time may lie before the click
  goTo(t);
  if (t < 1) requestAnimationFrame(step);
  else stop();
}
play.addEventListener("click", () => {
  if (startedAt !== null) return stop();
  startedAt = performance.now() - (Number(along.value) % 1) * 1000 * SECONDS; // on from where it stopped
  play.textContent = "stop";
  goTo(Number(along.value) % 1);
  requestAnimationFrame(step);
});
along.addEventListener("input", () => {
  stop();
  goTo(along.valueAsNumber);
});

const film = Array.from({ length: FRAMES }, (_, frame) => {
  const t = frame / (FRAMES - 1);
  const { button, canvas } = thumbnail(`step ${frame + 1} of ${FRAMES} from A to B`, () => {
    stop();
    goTo(t);
  });
  element("film").append(button);
  return { canvas, t };
});
const endPictures = [sized(element("picture-a")), sized(element("picture-b"))];
for (const [number, id] of ["set-a", "set-b"].entries()) {
  element(id).addEventListener("click", () => setEnd(number, state.z));
  endPictures[number].setAttribute("role", "img");
  endPictures[number].setAttribute("aria-label", `E[x | z] at ${"AB"[number]}`);
}

/** Make a latent the walk's A (0) or B (1). */
function setEnd(number, z) {
  stop();
  along.value = 0;
  state.ends[number] = Float32Array.from(z);
  changed();
}
for (const choice of document.querySelectorAll('input[name="path"]')) choice.addEventListener("change", changed);

let filmOf = "";
shows(() => {
  const wanted = [...state.ends, state.label, path()].join(); // decoded anew only where it is another walk
  if (wanted === filmOf) return;
  filmOf = wanted;
  state.ends.forEach((end, number) => paint(endPictures[number], decode(end)));
  for (const { canvas, t } of film) paint(canvas, decode(zAt(t)));
});
