// One slider for each unit of z, the most used first.

const SHOWN = 12; // before all are asked for
const sliders = new Map();

for (const [place, unit] of DATA.order.entries()) {
  const row = document.createElement("label");
  const [name, kl, value] = Array.from({ length: 3 }, () => document.createElement("span"));
  const slider = document.createElement("input");
  name.className = "name";
  name.textContent = DATA.names[unit];
  kl.className = "kl";
  value.className = "value";
  kl.textContent = DATA.kl[unit] === null ? "" : `KL ${number(DATA.kl[unit])}`;
  kl.title = "KL of q from the prior at this unit, in nats, mean over the images";
  Object.assign(slider, { type: "range", step: "any", value: 0 });
  slider.setAttribute("aria-label", `${DATA.names[unit]} ${kl.textContent}`);
  slider.addEventListener("input", () => setUnit(unit, slider.valueAsNumber));
  row.append(name, kl, slider, value);
  row.hidden = place >= SHOWN;
  sliders.set(unit, { row, slider, value });
  element("sliders").append(row);
}

shows(() => {
  for (const [unit, { row, slider, value }] of sliders) {
    if (row.hidden) continue;
    const words = number(state.z[unit]);
    if (slider.max !== String(state.reach)) Object.assign(slider, { min: -state.reach, max: state.reach });
    if (value.textContent === words && Math.abs(slider.valueAsNumber - state.z[unit]) < 0.01) continue;
    value.textContent = words;
    slider.value = state.z[unit];
  }
});

// A point has no KL.
if (DATA.kl.every((kl) => kl === null)) element("sliders-title").textContent = "The units of z, the widest first";

const allUnits = element("all-units");
allUnits.hidden = SIZE <= SHOWN;
allUnits.textContent = `show all ${SIZE}`;
allUnits.addEventListener("click", () => {
  for (const { row } of sliders.values()) row.hidden = false;
  allUnits.hidden = true;
  changed();
});
