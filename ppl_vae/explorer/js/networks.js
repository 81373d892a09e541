// Networks, as torch computes them: what ppl_vae/explorer/networks.py packed. Images are flat, their channels last.

/** An array of Python's: float32 with the lowest byte first, as every browser's machine has it, or uint8. */
function unpacked({ kind, base64 }) {
  const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  return kind === "uint8" ? bytes : new Float32Array(bytes.buffer);
}

/** The error function to 1.5e-7 (Abramowitz and Stegun 1964, formula 7.1.26). */
function erf(x) {
  const t = 1 / (1 + 0.3275911 * Math.abs(x));
  const series = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
  return Math.sign(x) * (1 - series * Math.exp(-x * x));
}

const sigmoid = (x) => 1 / (1 + Math.exp(-x));
const softplus = (x) => (x > 20 ? x : Math.log1p(Math.exp(x)));
const ACTIVATIONS = {
  relu: (x) => (x > 0 ? x : 0),
  tanh: Math.tanh,
  softplus,
  gelu: (x) => (x / 2) * (1 + erf(x / Math.SQRT2)),
  silu: (x) => x * sigmoid(x),
  elu: (x) => (x > 0 ? x : Math.expm1(x)),
};

/** x -> Wx + b, W (out, in) row by row; sums in double precision. */
function dense(weight, bias) {
  return (input) => {
    const size = input.length;
    const output = new Float32Array(bias.length);
    for (let row = 0, start = 0; row < output.length; row++, start += size) {
      let sum = bias[row];
      for (let column = 0; column < size; column++) sum += weight[start + column] * input[column];
      output[row] = sum;
    }
    return output;
  };
}

/**
 * A convolution, W (kernel height, kernel width, in, out); transposed, each pixel of the input is spread over the output.
 * Either way a place of the kernel joins one pixel of the smaller image to one of the larger.
 */
function convolution({ weight, bias, before, after, stride, padding, transposed }) {
  const [rows, columns, depthIn, depthOut] = weight.shape;
  const weights = unpacked(weight);
  const biases = unpacked(bias);
  const [small, large] = transposed ? [before, after] : [after, before];
  return (input) => {
    const output = new Float64Array(after[0] * after[1] * depthOut);
    for (let start = 0; start < output.length; start += depthOut) output.set(biases, start);
    const join = (y, x, row, column) => {
      const [down, across] = [y * stride - padding + row, x * stride - padding + column];
      if (down < 0 || across < 0 || down >= large[0] || across >= large[1]) return;
      const [one, other] = [y * small[1] + x, down * large[1] + across];
      const [from, to] = transposed ? [one, other] : [other, one];
      let next = (row * columns + column) * depthIn * depthOut;
      for (let i = from * depthIn; i < (from + 1) * depthIn; i++) {
        const value = input[i];
        for (let j = to * depthOut; j < (to + 1) * depthOut; j++) output[j] += value * weights[next++];
      }
    };
    for (let y = 0; y < small[0]; y++)
      for (let x = 0; x < small[1]; x++)
        for (let row = 0; row < rows; row++) for (let column = 0; column < columns; column++) join(y, x, row, column);
    return Float32Array.from(output);
  };
}

/** The first numbers through layers of their own, those behind them, a label, as they are. */
function ahead(size, layers) {
  const first = network(layers);
  return (input) => {
    const [changed, label] = [first(input.subarray(0, size)), input.subarray(size)];
    const output = new Float32Array(changed.length + label.length);
    output.set(changed);
    output.set(label, changed.length);
    return output;
  };
}

const LAYERS = {
  activation: ({ name }) => (input) => input.map((value) => ACTIVATIONS[name](value)),
  dense: ({ weight, bias }) => dense(unpacked(weight), unpacked(bias)),
  shift: ({ bias }) => {
    const shifts = unpacked(bias);
    return (input) => input.map((value, n) => value + shifts[n]);
  },
  scales: ({ counted, shift, unit }) => {
    const [counts, shifts, units] = [counted, shift, unit].map(unpacked);
    const scaled = (x, n) => (counts[n] ? Math.log1p(Math.max(x, 0)) : (x - shifts[n]) / units[n]);
    return (input) => input.map((x, n) => (n < units.length ? scaled(x, n) : x));
  },
  convolution,
  ahead: ({ size, layers }) => ahead(size, layers),
};

/** A function from Float32Array to Float32Array. */
function network(layers) {
  const steps = layers.map((layer) => LAYERS[layer.kind](layer));
  return (input) => steps.reduce((value, step) => step(value), input);
}

/** Numbers with their label one-hot behind them, if there are classes. */
function withLabel(numbers, label, numClasses) {
  const input = new Float32Array(numbers.length + numClasses);
  input.set(numbers);
  if (numClasses) input[numbers.length + label] = 1;
  return input;
}
