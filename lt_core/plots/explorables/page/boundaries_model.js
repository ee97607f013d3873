// The three-class problem: softmax regression in the plane, trained by gradient descent.
// The same mathematics stands in three_classes.py; a test compares their numbers.

// Rows M[y][n] of the margin that is added to logit n of a sample of class y.
function marginOf(counts, theta, { gamma, lambda, tau }) {
  const logTheta = theta.map((each) => Math.log(each + 1e-3));
  return counts.map((own, y) => counts.map((other, n) =>
    gamma * Math.log(Math.min(1, other / own)) +
    lambda * (logTheta[n] - logTheta[y]) +
    tau * Math.log(other / own)));
}

// Logits [z0, z1, z2] of a point under weights, one row [w0, w1, bias] a class.
function logitsAt(weights, [a, b]) {
  return weights.map((w) => w[0] * a + w[1] * b + w[2]);
}

function softmax(logits) {
  const top = Math.max(...logits);
  const powers = logits.map((each) => Math.exp(each - top));
  const total = powers.reduce((sum, each) => sum + each, 0);
  return powers.map((each) => each / total);
}

// Gradient of the loss with respect to the logits: p - [j = y], p with the margin.
function gradientAt(weights, point, y, margin) {
  const p = softmax(logitsAt(weights, point).map((each, n) => each + margin[y][n]));
  return p.map((each, j) => each - (j === y ? 1 : 0));
}

// Adds one point's gradient to the slope of each class's weights. The same as gradientAt,
// written out without new arrays: this runs 60,000 times whenever a slider moves.
const power = [0, 0, 0];
function addGradient(slope, weights, [a, b], y, margin) {
  let top = -Infinity, total = 0;
  for (let j = 0; j < 3; j++) {
    const w = weights[j];
    power[j] = w[0] * a + w[1] * b + w[2] + margin[j];
    if (power[j] > top) top = power[j];
  }
  for (let j = 0; j < 3; j++) total += power[j] = Math.exp(power[j] - top);
  for (let j = 0; j < 3; j++) {
    const gradient = power[j] / total - (j === y ? 1 : 0), own = slope[j];
    own[0] += gradient * a;
    own[1] += gradient * b;
    own[2] += gradient;
    if (j === y) own[3] -= gradient;
  }
}

// Full-batch gradient descent from zero. `points[c]` lists class c's points, of which the
// first counts[c] are used. Theta gathers 1 - p_y, used before a step and updated after it.
function train(points, counts, strengths, { steps, rate, decay }) {
  const size = counts.reduce((sum, each) => sum + each, 0);
  const weights = counts.map(() => [0, 0, 0]);
  const theta = counts.map(() => 0);
  for (let step = 0; step < steps; step++) {
    const margin = marginOf(counts, theta, strengths);
    const slope = counts.map(() => [0, 0, 0, 0]); // the last gathers 1 - p_y
    counts.forEach((count, y) => {
      for (let i = 0; i < count; i++) addGradient(slope, weights, points[y][i], y, margin[y]);
    });
    slope.forEach((own, y) => { theta[y] += own[3]; });
    weights.forEach((w, j) => {
      w[0] -= rate * (slope[j][0] / size + decay * w[0]);
      w[1] -= rate * (slope[j][1] / size + decay * w[1]);
      w[2] -= rate * (slope[j][2] / size);
    });
  }
  return { weights, theta, margin: marginOf(counts, theta, strengths) };
}

// Share of each class's points that the weights recognise.
function recall(weights, points) {
  return points.map((own, y) => own.filter((point) => {
    const logits = logitsAt(weights, point);
    return logits[y] === Math.max(...logits);
  }).length / own.length);
}

// The convex region of the square [-limit, limit]^2 where class k has the largest logit.
function region(weights, k, limit) {
  let corners = [[-limit, -limit], [limit, -limit], [limit, limit], [-limit, limit]];
  weights.forEach((w, j) => {
    if (j === k) return;
    const lead = ([a, b]) => {
      const z = logitsAt([weights[k], w], [a, b]);
      return z[0] - z[1];
    };
    corners = corners.flatMap((here, i) => {
      const next = corners[(i + 1) % corners.length];
      const [from, to] = [lead(here), lead(next)];
      const kept = from >= 0 ? [here] : [];
      if (from >= 0 !== to >= 0) {
        const share = from / (from - to);
        kept.push(here.map((each, axis) => each + share * (next[axis] - each)));
      }
      return kept;
    });
  });
  return corners;
}
