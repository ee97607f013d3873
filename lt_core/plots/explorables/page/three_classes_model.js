// The three-class problem: softmax regression in the plane, trained by gradient descent.
// A test compares its numbers with those of lt_core's losses.

// What a remedy changes. `margin(strength, counts, y, j, theta)` is added to logit j of a point
// of class y; `weigh(strength, g, counts, y, memory)` are the factors on the gradients of class
// y's points, whose distances from certainty are g = 1 - p_y.
const discount = (gamma, n, y, j) => gamma * Math.min(0, Math.log(n[j] / n[y]));

const MODELS = {
  softmax: {},
  weight: {
    weigh(beta, g, n, y) {
      const raw = n.map((each) => (1 - beta) / (1 - beta ** each));
      return g.map(() => raw[y] * total(n) / total(n.map((each, c) => each * raw[c])));
    },
  },
  prior: { margin: (tau, n, y, j) => tau * Math.log(n[j] / n[y]) },
  margin: { margin: discount },
  focal: {
    weigh: (gamma, g) => g.map((d) => d ** gamma * (1 - gamma * (1 - d) * Math.log1p(-d) / d)),
  },
  ICB: { margin: discount, weigh: (_, g, n, y, memory) => scarcity(g, memory) },
  GALA: {
    margin: (lambda, n, y, j, theta) => lambda * Math.log((theta[j] + 1e-3) / (theta[y] + 1e-3)),
  },
};

// ICB's weight: 1 / density of g among the points of its class, scaled to the mean 1. The density
// is counted in bins of equal mass; their edges, in u = g^(1/3), move to the quantiles of what
// the bins hold. `memory` keeps what a class has seen, which fades with each of its points.
const BINS = 12, LEAST = 1e-4;
function scarcity(g, memory) {
  memory.edges ??= Array.from({ length: BINS + 1 }, (_, k) => Math.cbrt(k / BINS));
  const { edges, mass = 0, raw: rawBefore = 0, long = [0, 0] } = memory;
  const u = g.map(Math.cbrt), fading = Math.exp(-g.length);
  const binOf = (value) => {
    let k = 0;
    while (k < BINS - 1 && value >= edges[k + 1]) k += 1;
    return k;
  };
  const width = edges.slice(1).map((edge, k) => edge - edges[k]);
  const held = width.map((each) => each + fading * ((mass + 1) / BINS - each));
  for (const each of u) held[binOf(each)] += 1;
  const all = total(held);
  let k = 0, upto = held[0], highest = 0;
  const inner = width.slice(1).map((_, i) => {
    const wanted = all * (i + 1) / BINS;
    while (upto < wanted) upto += held[k += 1];
    const edge = edges[k + 1] - (upto - wanted) * width[k] / held[k];
    highest = Math.max(highest, Math.min(edge - (i + 1) * LEAST, 1 - BINS * LEAST));
    return highest + (i + 1) * LEAST;
  });
  edges.splice(1, BINS - 1, ...inner);
  memory.mass = mass * fading + g.length;
  const raw = u.map(binOf).map((bin) => BINS * (edges[bin + 1] ** 3 - edges[bin] ** 3));
  memory.raw = rawBefore * fading + total(raw);
  // The mean over the memory is 1 now; then the mean over a hundred points, this batch as half.
  const once = raw.map((each) => each * memory.mass / memory.raw);
  const kept = Math.exp(-g.length / 100), batch = [g.length, total(once)];
  const [count, sum] = long.map((each, i) => each * kept + batch[i] / 2);
  memory.long = [count + batch[0] / 2, sum + batch[1] / 2];
  return once.map((each) => each * count / sum);
}

// Logits of a point under weights, one row [w0, w1, bias] per class.
const logitsAt = (weights, [a, b]) => weights.map((w) => w[0] * a + w[1] * b + w[2]);

// The gradient p - [j = y] of softmax at logits z + row; its entry y without cancellation.
function gradientAt(z, y, row) {
  const top = Math.max(z[0] + row[0], z[1] + row[1], z[2] + row[2]), gradient = [0, 0, 0];
  let sum = 0, others = 0;
  for (let j = 0; j < 3; j++) sum += gradient[j] = Math.exp(z[j] + row[j] - top);
  for (let j = 0; j < 3; j++) if (j !== y) others += gradient[j] /= sum;
  gradient[y] = -others;
  return gradient;
}

// Full-batch gradient descent. `points[y]` lists class y's training points; the strength is the
// remedy's. Pull and push are what each logit received in the last step, theta what GALA gathered.
function train(points, remedy, strength, steps, { first, rate, decay }) {
  const { margin = () => 0, weigh } = MODELS[remedy];
  const counts = points.map((own) => own.length), size = total(counts);
  const weights = first.map((w) => [...w]), memory = counts.map(() => ({}));
  const theta = counts.map(() => 0), none = counts.map(() => 0);
  let pull, push;
  for (let step = 0; step < steps; step++) {
    const slope = counts.map(() => [0, 0, 0]), gathered = counts.map(() => 0);
    [pull, push] = [counts.map(() => 0), counts.map(() => 0)];
    points.forEach((own, y) => {
      const row = counts.map((_, j) => margin(strength, counts, y, j, theta));
      const logits = own.map((point) => logitsAt(weights, point));
      const factor = weigh?.(strength, logits.map((z) => -gradientAt(z, y, none)[y]), counts, y, memory[y]);
      own.forEach(([a, b], i) => {
        const gradient = gradientAt(logits[i], y, row), weight = factor ? factor[i] : 1;
        gathered[y] -= gradient[y];
        for (let j = 0; j < 3; j++) {
          const force = weight * gradient[j];
          slope[j][0] += force * a;
          slope[j][1] += force * b;
          slope[j][2] += force;
          if (j === y) pull[j] -= force;
          else push[j] += force;
        }
      });
    });
    gathered.forEach((each, y) => { theta[y] += each; });
    weights.forEach((w, j) => slope[j].forEach((each, axis) => {
      w[axis] -= rate * (each / size + (axis < 2 ? decay * w[axis] : 0));
    }));
  }
  return { weights, pull, push, theta };
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
    const lead = (point) => logitsAt([weights[k]], point)[0] - logitsAt([w], point)[0];
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
