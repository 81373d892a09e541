// Fully connected networks, as torch computes them: what ppl_vae/explorer/networks.py packed.

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

/** A function from Float32Array to Float32Array. */
function network(layers) {
  const steps = layers.map((layer) => {
    if (!layer.activation) return dense(unpacked(layer.weight), unpacked(layer.bias));
    const activation = ACTIVATIONS[layer.activation];
    return (input) => input.map((value) => activation(value));
  });
  return (input) => steps.reduce((value, step) => step(value), input);
}

/** Numbers with their label one-hot behind them, if there are classes. */
function withLabel(numbers, label, numClasses) {
  const input = new Float32Array(numbers.length + numClasses);
  input.set(numbers);
  if (numClasses) input[numbers.length + label] = 1;
  return input;
}
