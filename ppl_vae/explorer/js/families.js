// From a family's parameters to q's mean and covariance; guides/families.py says what the parameters are.

const SCALE_FLOOR = 1e-4;
const UNIT = Math.log(Math.E - 1); // softplus(0 + UNIT) = 1
const positive = (raw) => softplus(raw + UNIT) + SCALE_FLOOR;

/** The covariance F Fᵀ of a factor F (D, K), row by row. */
function product(factor, columns) {
  return (i, j) => {
    let sum = 0;
    for (let k = 0; k < columns; k++) sum += factor[i * columns + k] * factor[j * columns + k];
    return sum;
  };
}

// (params, D) -> covariance(i, j)
const FAMILIES = {
  diagonal: (params, size) => (i, j) => (i === j ? positive(params[size + i]) ** 2 : 0),
  "low-rank": (params, size) => {
    const rank = params.length / size - 2;
    const factor = params.subarray(2 * size);
    const shared = product(factor, rank);
    const scale = (i) => positive(params[size + i]) + 1e-3 * Math.sqrt(shared(i, i));
    return (i, j) => shared(i, j) + (i === j ? scale(i) ** 2 : 0);
  },
  "full-rank": (params, size) => {
    const factor = new Float64Array(size * size); // L, lower triangular
    for (let row = 0, next = 2 * size; row < size; row++) {
      for (let column = 0; column < row; column++) factor[row * size + column] = params[next++] / Math.sqrt(size);
      factor[row * size + row] = positive(params[size + row]);
    }
    return product(factor, size);
  },
  point: () => () => 0,
};

/** q: its mean (D,), standard deviations (D,) and covariance(i, j). */
function moments(family, params, size) {
  const covariance = FAMILIES[family](params, size);
  const std = Float32Array.from({ length: size }, (_, i) => Math.sqrt(covariance(i, i)));
  return { mean: params.slice(0, size), std, covariance };
}
