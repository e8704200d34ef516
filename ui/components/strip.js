// Shared by the components that show videos: the strip that stands for one whole video, and the clock of a file.
// castleStrip(host, {n, motion, start, stop, exclude, labelled, selected}) paints motion, the part in use, what is
// left out and what is labelled; it keeps its own nodes, so painting again is cheap.
const SVG = "http://www.w3.org/2000/svg";
let stripCount = 0;
function svg(name, attributes) {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  return node;
}
function castleStrip(host, s) {
  const n = Math.max(1, s.n), x = f => 1000 * f / n;
  const id = (host._hatch ??= "hatch" + ++stripCount);
  const box = svg("svg", {viewBox: "0 0 1000 100", preserveAspectRatio: "none", "aria-hidden": "true"});
  const defs = svg("defs", {}), hatch = svg("pattern", {id, width: 9, height: 9, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)"});
  hatch.append(svg("rect", {width: 9, height: 9, class: "hatch-ground"}), svg("rect", {width: 3.5, height: 9, class: "hatch-line"}));
  defs.append(hatch);
  box.append(defs);
  const m = s.motion ?? [];
  if (m.length > 1) {
    const step = 1000 / (m.length - 1);
    const line = m.map((v, i) => `L${(i * step).toFixed(1)} ${(96 - 88 * v).toFixed(1)}`).join("");
    box.append(svg("path", {d: `M0 100${line}L1000 100Z`, class: "motion"}));
  }
  const start = s.start ?? 0, stop = s.stop ?? n;
  if (start > 0) box.append(svg("rect", {x: 0, y: 0, width: x(start), height: 100, class: "veil"}));
  if (stop < n) box.append(svg("rect", {x: x(stop), y: 0, width: 1000 - x(stop), height: 100, class: "veil"}));
  for (const [a, b] of s.exclude ?? []) box.append(svg("rect", {x: x(a), y: 0, width: Math.max(1.5, x(b) - x(a)), height: 100, fill: `url(#${id})`}));
  for (const [frames, name] of [[s.labelled, "labelled"], [s.selected, "selected"]])
    for (const f of frames ?? []) {
      const dot = svg("line", {x1: x(f + .5), x2: x(f + .5), y1: 92, y2: 92.01, class: "dot " + name});
      box.append(dot);
    }
  host.querySelector("svg")?.remove();
  host.prepend(box);
}
const two = v => String(v).padStart(2, "0");
function clock(seconds) {  // as castle_core.machine.clock
  const ticks = Math.floor(Math.max(0, seconds) * 1000 + .5), whole = Math.floor(ticks / 1000);
  return `${two(Math.floor(whole / 3600))}:${two(Math.floor(whole / 60) % 60)}:${two(whole % 60)}.${String(ticks % 1000).padStart(3, "0")}`;
}
function make(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(properties)) {
    if (key in node && key !== "list") node[key] = value; else node.setAttribute(key, value);
  }
  node.append(...children);
  return node;
}
// A player's state `me` holds data.n_frames and data.knots ([[frame, seconds], ...]), which carry frame numbers to the
// file's own clock and back.
const clampTo = (v, a, b) => Math.max(a, Math.min(b, v));
function lookup(knots, value, from, to) {
  let lo = 0, hi = knots.length - 1;
  while (hi - lo > 1) { const mid = (lo + hi) >> 1; if (knots[mid][from] <= value) lo = mid; else hi = mid; }
  const a = knots[lo], b = knots[hi], span = b[from] - a[from];
  return span > 0 ? a[to] + (value - a[from]) / span * (b[to] - a[to]) : a[to];
}
const fileTime = (me, frame) => lookup(me.data.knots, frame, 0, 1);
const frameAt = (me, seconds) => clampTo(Math.floor(lookup(me.data.knots, seconds, 1, 0) + 1e-3), 0, me.data.n_frames - 1);
// Shows one frame in the player's <video>, or as a single picture of the server where me.stills is set.
function seekTo(root, me, frame) {
  me.at = clampTo(Math.round(frame), 0, me.data.n_frames - 1);
  const video = root.querySelector("video");
  if (me.stills) {
    clearTimeout(me.stillTimer);
    me.stillTimer = setTimeout(() => {
      const still = root.querySelector(".still");
      still.src = me.data.poster.replace("FRAME", String(me.at));
      still.alt = `${me.data.title}, frame ${me.at}`;
    }, 30);
  } else {
    video.pause();
    video.currentTime = (fileTime(me, me.at) + fileTime(me, me.at + 1)) / 2;
  }
}
