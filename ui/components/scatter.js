// The map: every frame a point. The places and colours come from the server's routes as plain bytes and are painted
// here, all of them; hovering shows the frame, a click chooses it, a dragged line around points is a lasso.
export default function ({data, parentElement, setStateValue}) {
  const root = parentElement.querySelector(".scatter");
  const me = (root._me ??= {view: {x: 0, y: 0, s: 1}, lasso: null, seq: 0});
  me.data = data;
  me.push = setStateValue;
  if (!me.ready) setUp(root, me);
  if (me.frameFrom !== data.frame) { me.frame = data.frame; me.frameFrom = data.frame; }
  if (me.lassoId !== data.id) { me.lassoId = data.id; me.lasso = data.lasso; me.view = {x: 0, y: 0, s: 1}; }
  if (!data.lasso && me.sent && me.sent === data.cleared) me.lasso = null;
  load(root, me);
}
async function load(root, me) {
  const {points, codes} = me.data;
  root.querySelector(".dots").setAttribute("aria-label", `${me.data.title}: a map of ${me.data.n} frames, alike ones close together. Left and right arrow keys go through the frames.`);
  try {
    if (me.pointsUrl !== points) { me.pointsUrl = points; const got = new Uint16Array(await bytesOf(points)); if (me.pointsUrl === points) me.points = got; }
    if (me.codesUrl !== codes) { me.codesUrl = codes; const got = new Uint8Array(await bytesOf(codes)); if (me.codesUrl === codes) me.codes = got; }
  } catch (error) { root.querySelector(".say").textContent = String(error.message); return; }
  draw(root, me);
  const legend = root.querySelector(".legend"), items = [];
  if (me.data.ramp) {
    const bar = make("i", {className: "ramp"});
    bar.style.background = `linear-gradient(90deg, ${RAMP.map(css).join(",")})`;
    items.push(make("span", {}, me.data.names[0], bar, me.data.names[1]));
  } else me.data.names.forEach((name, code) => {
    const box = make("i");
    box.style.background = css(codeColour(code, false));
    items.push(make("span", {}, box, name));
  });
  legend.replaceChildren(...items);
  root.querySelector("[data-do=drop]").hidden = !me.lasso;
}
function place(me, frame) {
  const x = me.points[2 * frame], y = me.points[2 * frame + 1];
  if (x === 65535) return null;
  return toScreen(me, x / 65534, y / 65534);
}
function toScreen(me, x, y) {
  const v = me.view, pad = .04;
  return [(pad + (1 - 2 * pad) * (x - v.x) * v.s) * me.w, (pad + (1 - 2 * pad) * (1 - y - v.y) * v.s) * me.h];
}
function toMap(me, px, py) {
  const v = me.view, pad = .04;
  return [(px / me.w - pad) / (1 - 2 * pad) / v.s + v.x, 1 - ((py / me.h - pad) / (1 - 2 * pad) / v.s + v.y)];
}
function draw(root, me) {
  if (!me.points || !me.codes) return;
  const canvas = root.querySelector(".dots"), box = canvas.getBoundingClientRect(), dpr = Math.min(2, devicePixelRatio || 1);
  if (!box.width) return;
  me.w = box.width; me.h = box.height;
  const W = canvas.width = Math.round(me.w * dpr), H = canvas.height = Math.round(me.h * dpr);
  const pen = canvas.getContext("2d"), image = pen.createImageData(W, H), out = new Uint32Array(image.data.buffer);
  const colours = new Uint32Array(256);
  for (let c = 0; c < 256; c++) { const [r, g, b] = codeColour(c, me.data.ramp); colours[c] = 0xff000000 | b << 16 | g << 8 | r; }
  const n = me.points.length / 2, size = Math.max(2, Math.round((n > 50000 ? 1 : n > 5000 ? 2 : 4) * dpr * Math.min(2, Math.sqrt(me.view.s))));
  const [left, top] = toScreen(me, 0, 1), [right, bottom] = toScreen(me, 1, 0);
  const ax = left * dpr - size / 2, bx = (right - left) * dpr / 65534, ay = bottom * dpr - size / 2, by = (top - bottom) * dpr / 65534;
  let seen = 0;
  for (let f = 0; f < n; f++) {
    if (me.points[2 * f] === 65535) continue;
    const px = Math.round(ax + bx * me.points[2 * f]), py = Math.round(ay + by * me.points[2 * f + 1]);
    if (px < 0 || py < 0 || px + size > W || py + size > H) continue;
    seen++;
    const colour = colours[me.codes[f]];
    for (let j = py * W + px; j < (py + size) * W; j += W) for (let i = j; i < j + size; i++) out[i] = colour;
  }
  pen.putImageData(image, 0, 0);
  root.querySelector(".say").textContent = me.view.s > 1 ? `${seen} of ${n} frames in sight` : matchMedia("(hover:none)").matches ? "Tap a point, or press Lasso and draw around points" : "Drag around points; the wheel zooms";
  over(root, me);
}
function over(root, me) {
  const canvas = root.querySelector(".over"), dpr = Math.min(2, devicePixelRatio || 1);
  canvas.width = Math.round(me.w * dpr); canvas.height = Math.round(me.h * dpr);
  const pen = canvas.getContext("2d");
  pen.scale(dpr, dpr);
  const ink = getComputedStyle(root).color;
  if (me.lasso && me.lasso.length > 1) {
    pen.beginPath();
    me.lasso.forEach(([x, y], i) => { const [a, b] = toScreen(me, x, y); i ? pen.lineTo(a, b) : pen.moveTo(a, b); });
    if (!me.drawing) pen.closePath();
    pen.globalAlpha = .12; pen.fillStyle = ink; pen.fill();
    pen.globalAlpha = 1; pen.setLineDash([5, 4]); pen.lineWidth = 1.5; pen.strokeStyle = ink; pen.stroke(); pen.setLineDash([]);
  }
  const at = me.points && me.frame != null && place(me, me.frame);
  if (at) for (const [width, colour] of [[5, "#fff"], [2.5, "#b91c1c"]]) {
    pen.beginPath(); pen.arc(at[0], at[1], 8, 0, 7); pen.lineWidth = width; pen.strokeStyle = colour; pen.stroke();
  }
}
function nearestTo(me, px, py, reach) {
  const [left, top] = toScreen(me, 0, 1), [right, bottom] = toScreen(me, 1, 0), bx = (right - left) / 65534, by = (top - bottom) / 65534;
  let best = -1, least = reach * reach;
  for (let f = 0; f < me.points.length / 2; f++) {
    if (me.points[2 * f] === 65535) continue;
    const d = (left + bx * me.points[2 * f] - px) ** 2 + (bottom + by * me.points[2 * f + 1] - py) ** 2;
    if (d < least) { least = d; best = f; }
  }
  return best;
}
function choose(root, me, frame) {
  me.frame = frame;
  over(root, me);
  root.querySelector(".live").textContent = `frame ${frame}, ${clock(frame / me.data.fps)}`;
  clearTimeout(me.timer);
  me.timer = setTimeout(() => me.push("frame", {frame, seq: Date.now()}), 150);
}
function zoom(root, me, by, px = me.w / 2, py = me.h / 2) {
  const v = me.view, [x, y] = toMap(me, px, py), s = Math.max(1, Math.min(400, v.s * by));
  v.s = s;
  const pad = .04;
  v.x = x - (px / me.w - pad) / (1 - 2 * pad) / s;
  v.y = 1 - y - (py / me.h - pad) / (1 - 2 * pad) / s;
  if (s === 1) v.x = v.y = 0;
  draw(root, me);
}
function setUp(root, me) {
  me.ready = true;
  const canvas = root.querySelector(".dots"), peek = root.querySelector(".peek");
  new ResizeObserver(() => draw(root, me)).observe(root.querySelector(".field"));
  const at = event => { const r = canvas.getBoundingClientRect(); return [event.clientX - r.left, event.clientY - r.top]; };
  canvas.addEventListener("pointerdown", event => {
    if (!me.points) return;
    me.down = at(event); me.moved = false; me.pan = event.shiftKey || event.button === 1;
    me.tapOnly = event.pointerType === "touch" && !me.byFinger;  // a finger scrolls the page unless it is asked to draw
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", event => {
    if (!me.points) return;
    const [x, y] = at(event);
    if (me.down) {
      if (!me.moved && Math.hypot(x - me.down[0], y - me.down[1]) < 5) return;
      if (me.tapOnly) { me.moved = true; return; }
      if (me.pan) { me.view.x -= (x - me.down[0]) / me.w / me.view.s; me.view.y -= (y - me.down[1]) / me.h / me.view.s; me.down = [x, y]; me.moved = true; return draw(root, me); }
      if (!me.moved) { me.moved = true; me.drawing = true; me.lasso = [toMap(me, ...me.down)]; }
      me.lasso.push(toMap(me, x, y));
      peek.hidden = true;
      return over(root, me);
    }
    if (me.waiting) return;
    me.waiting = true;
    requestAnimationFrame(() => {
      me.waiting = false;
      const frame = nearestTo(me, x, y, 14);
      peek.hidden = frame < 0;
      if (frame < 0) return;
      const img = peek.querySelector("img");
      img.hidden = !me.data.poster;
      if (me.data.poster && me.shown !== frame) { me.shown = frame; img.src = me.data.poster.replace("FRAME", frame); }
      peek.querySelector("div").textContent = `frame ${frame} · ${clock(frame / me.data.fps)}`;
      peek.style.left = Math.min(x + 14, me.w - 155) + "px";
      peek.style.top = Math.max(0, Math.min(y + 14, me.h - 130)) + "px";
    });
  });
  canvas.addEventListener("pointerleave", () => { peek.hidden = true; });
  const up = event => {
    if (!me.down) return;
    const click = !me.moved;
    me.down = null; me.drawing = false;
    if (click) { const frame = nearestTo(me, ...at(event), 14); if (frame >= 0) choose(root, me, frame); return; }
    if (me.pan || me.tapOnly || !me.lasso) return;
    drawByFinger(root, me, false);
    const step = Math.ceil(me.lasso.length / 200);
    me.lasso = me.lasso.filter((_, i) => i % step === 0);
    sendLasso(root, me);
  };
  canvas.addEventListener("pointerup", up);
  canvas.addEventListener("pointercancel", () => { me.down = null; me.drawing = false; });
  canvas.addEventListener("wheel", event => { if (!me.points) return; event.preventDefault(); zoom(root, me, Math.exp(-event.deltaY / 400), ...at(event)); }, {passive: false});
  canvas.addEventListener("keydown", event => {
    const by = {ArrowRight: 1, ArrowLeft: -1}[event.key];
    if (by) choose(root, me, Math.max(0, Math.min(me.data.n - 1, (me.frame ?? 0) + by * (event.shiftKey ? 10 : 1))));
    else if (event.key === "+" || event.key === "=") zoom(root, me, 1.5);
    else if (event.key === "-") zoom(root, me, 1 / 1.5);
    else if (event.key === "Escape" && me.lasso) { me.lasso = null; sendLasso(root, me); }
    else return;
    event.preventDefault(); event.stopPropagation();
  });
  root.querySelector(".bar").addEventListener("click", event => {
    const what = event.target.dataset.do;
    if (what === "in") zoom(root, me, 1.6);
    if (what === "out") zoom(root, me, 1 / 1.6);
    if (what === "all") { me.view = {x: 0, y: 0, s: 1}; draw(root, me); }
    if (what === "draw") drawByFinger(root, me, !me.byFinger);
    if (what === "drop") { me.lasso = null; sendLasso(root, me); }
  });
}
function drawByFinger(root, me, on) {
  me.byFinger = on;
  root.querySelector("[data-do=draw]").setAttribute("aria-pressed", String(on));
  root.querySelector(".field").classList.toggle("drawing", on);
}
function sendLasso(root, me) {
  over(root, me);
  root.querySelector("[data-do=drop]").hidden = !me.lasso;
  me.sent = Date.now();
  me.push("lasso", {id: me.data.id, polygon: (me.lasso ?? []).map(([x, y]) => [+x.toFixed(5), +y.toFixed(5)]), seq: me.sent});
}
