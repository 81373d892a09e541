// What is shown first, and a door for tests and for the curious: type `explorer` into the browser's console.

document.body.classList.toggle("wide", PICTURE.strip);
element("labels").hidden = NUM_CLASSES === 0;

// Somewhere to walk at once: from one image to the next that has another label.
const second = DATA.labels ? DATA.labels.findIndex((label, n) => n > 1 && label !== DATA.labels[1]) : 2;
setEnd(0, meanOf(1));
setEnd(1, meanOf(second > 0 && second < NUM_POINTS ? second : 0));
if (NUM_CLASSES) setLabel(DATA.labels[0]);
if (encoderNetwork && !imageOf(0).some(Number.isNaN)) setImage(imageOf(0));
else setZ(meanOf(0));

/**
 * explorer.decode(z, label)   the means of x, a Float32Array, row by row (label: of a conditional model)
 * explorer.encode(x, label)   q of x (numbers, row by row): {mean, std, covariance(i, j)}; null where the
 *                             page has no encoder
 * explorer.setZ(z), setLabel(label), setAxes(across, up), setEnd(0 or 1, z)
 * explorer.setImage(x)        put an image on the pad and z at the mean of its q
 * explorer.draw()             show all of it now, not before the next frame
 * explorer.state              {z, label, axes, reach, placed, ends}; read it, and change it by the functions above
 * explorer.names, order, kl   of the units of z; order: from the most used to the least
 */
window.explorer = Object.freeze({
  decode, encode, setZ, setLabel, setAxes, setEnd, setImage, draw, state,
  names: DATA.names, order: DATA.order, kl: DATA.kl,
});
