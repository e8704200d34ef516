// A video with its masks on top, and under it one strip a ROI: area, confidence, where it is lost. Masks come as packed
// pieces of some frames; a mask is painted for the very frame that the browser shows. Seeking asks nothing of Python.
export default function ({data, parentElement, setStateValue}) {
  const root = parentElement.querySelector(".player");
  const me = (root._me ??= {at: 0, queue: [], seq: 0, pieces: new Map(), show: true});
  me.data = data;
  me.push = setStateValue;
  me.queue = me.queue.filter(o => o.seq > data.applied);
  if (me.masks !== data.masks) { me.masks = data.masks; me.pieces.clear(); }
  if (!me.ready) setUp(root, me);
  if (me.id !== data.id) { me.id = data.id; load(root, me); }
  else if (me.rev !== data.rev) seek(root, me, data.at);
  me.rev = data.rev;
  draw(root, me);
  paint(root, me);
}
const KEPT = 12;
const shown = (me, frame) => clock(frame / me.data.fps);
function load(root, me) {
  const video = root.querySelector("video"), still = root.querySelector(".still");
  me.stills = !me.data.src;
  video.hidden = me.stills;
  still.hidden = !me.stills;
  video.setAttribute("aria-label", `${me.data.title} with masks: space plays, arrow keys step one frame`);
  if (me.stills) { video.removeAttribute("src"); video.load(); } else video.src = me.data.src;
  seek(root, me, me.data.at);
}
function seek(root, me, frame) {
  seekTo(root, me, frame);
  paint(root, me);
}
// One piece: width, height, n (16 bits each), n bytes that say what was tracked, then n masks of a byte a pixel.
function piece(root, me, number) {
  if (!me.data.masks || number < 0 || number * me.data.piece >= me.data.n_frames) return null;
  const known = me.pieces.get(number);
  if (known) { me.pieces.delete(number); me.pieces.set(number, known); return known; }
  const entry = {};
  me.pieces.set(number, entry);
  while (me.pieces.size > KEPT) me.pieces.delete(me.pieces.keys().next().value);
  const first = number * me.data.piece, url = me.data.masks.replace("START", first).replace("STOP", Math.min(me.data.n_frames, first + me.data.piece));
  fetch(url).then(answer => { if (!answer.ok) throw new Error(String(answer.status)); return answer.arrayBuffer(); }).then(buffer => {
    const view = new DataView(buffer), [w, h, n] = [0, 2, 4].map(place => view.getUint16(place, true));
    Object.assign(entry, {w, h, n, tracked: new Uint8Array(buffer, 6, n), pixels: new Uint8Array(buffer, 6 + n)});
    paint(root, me);
  }).catch(() => { entry.failed = true; paint(root, me); });
  return entry;
}
function paint(root, me) {
  const {data} = me, canvas = root.querySelector(".masks"), number = Math.floor(me.at / data.piece);
  const p = piece(root, me, number);
  const video = root.querySelector("video");
  if (!video.paused || (me.at + 1) % data.piece === 0) piece(root, me, number + 1);
  root.querySelector(".head").style.left = `calc(${headLeft(root, me)}px)`;
  let words = "";
  const pen = canvas.getContext("2d");
  if (p?.pixels) {
    const i = me.at - number * data.piece;
    if (canvas.width !== p.w || canvas.height !== p.h) { canvas.width = p.w; canvas.height = p.h; }
    pen.clearRect(0, 0, p.w, p.h);
    if (!p.tracked[i]) words = " · not tracked";
    else if (me.show) paintMask(pen, p, i, data.colours);
    if (p.tracked[i]) {
      const here = data.rois.filter(r => p.tracked[i] && !present(p, i, r.id)).map(r => r.id);
      if (here.length) words = ` · ROI ${here.join(", ")} lost`;
    }
  } else { pen.clearRect(0, 0, canvas.width, canvas.height); if (p?.failed) words = " · masks cannot be read"; }
  root.querySelector(".now").textContent = `frame ${me.at} · ${shown(me, me.at)}${words}`;
}
function present(p, i, id) { return p.pixels.subarray(i * p.w * p.h, (i + 1) * p.w * p.h).includes(id); }
function paintMask(pen, p, i, colours) {
  const {w, h} = p, from = p.pixels.subarray(i * w * h, (i + 1) * w * h), image = pen.createImageData(w, h), to = image.data;
  const sums = {};
  for (let y = 0, k = 0; y < h; y++) for (let x = 0; x < w; x++, k++) {
    const id = from[k];
    if (!id) continue;
    const c = colours[id] ?? [255, 255, 255], s = (sums[id] ??= [0, 0, 0]);
    s[0] += x; s[1] += y; s[2]++;
    const edge = from[k - 1] !== id || from[k + 1] !== id || from[k - w] !== id || from[k + w] !== id;
    to[4 * k] = c[0]; to[4 * k + 1] = c[1]; to[4 * k + 2] = c[2]; to[4 * k + 3] = edge ? 255 : 120;
  }
  pen.putImageData(image, 0, 0);
  pen.font = `600 ${Math.max(10, Math.round(h / 24))}px sans-serif`;
  pen.textAlign = "center"; pen.textBaseline = "middle"; pen.lineWidth = 3;
  for (const [id, [x, y, n]] of Object.entries(sums)) {
    pen.strokeStyle = "rgba(0,0,0,.8)"; pen.fillStyle = "#fff";
    pen.strokeText(id, x / n, y / n); pen.fillText(id, x / n, y / n);
  }
}
function headLeft(root, me) {
  const strip = root.querySelector(".strip"), rows = root.querySelector(".rows");
  if (!strip) return -10;
  const a = strip.getBoundingClientRect(), b = rows.getBoundingClientRect();
  return a.left - b.left + a.width * (me.at + .5) / me.data.n_frames;
}
function strip(host, me, roi) {
  const n = Math.max(1, roi.area.length), step = 1000 / n, box = svg("svg", {viewBox: "0 0 1000 100", preserveAspectRatio: "none", "aria-hidden": "true"});
  const bars = (values, name, top, height) => {
    for (let i = 0; i < n;) {
      if (!values[i]) { i++; continue; }
      let j = i;
      while (j < n && values[j]) j++;
      box.append(svg("rect", {x: i * step, y: top, width: Math.max(2, (j - i) * step), height, class: name}));
      i = j;
    }
  };
  bars(roi.untracked, "no", 0, 100);
  const line = roi.area.map((v, i) => `L${(i * step).toFixed(1)} ${(98 - 84 * v).toFixed(1)}L${((i + 1) * step).toFixed(1)} ${(98 - 84 * v).toFixed(1)}`).join("");
  box.append(svg("path", {d: `M0 100${line}L1000 100Z`, fill: `rgb(${me.data.colours[roi.id].join(" ")} / .75)`}));
  bars(roi.lost, "lost", 0, 22);
  if (roi.confidence) {
    let d = "", pen = "M";
    roi.confidence.forEach((v, i) => { if (v === null) { pen = "M"; return; } d += `${pen}${((i + .5) * step).toFixed(1)} ${(98 - 94 * v).toFixed(1)}`; pen = "L"; });
    box.append(svg("path", {d, class: "conf"}));
  }
  for (const f of me.data.prompts) { const x = 1000 * (f + .5) / me.data.n_frames; box.append(svg("line", {x1: x, x2: x, y1: 0, y2: 100, class: "mark"})); }
  host.replaceChildren(box);
}
function draw(root, me) {
  const {data} = me, list = root.querySelector(".list"), seen = JSON.stringify([data.id, data.masks, data.rois.map(r => [r.id, r.name, r.words]), data.prompts]);
  if (me.drawn !== seen) {
    me.drawn = seen;
    list.replaceChildren(...data.rois.map(roi => {
      const id = make("span", {className: "id"}, String(roi.id)), host = make("div", {className: "strip"});
      id.style.background = `rgb(${data.colours[roi.id].join(" ")})`;
      host.setAttribute("role", "img");
      host.setAttribute("aria-label", `ROI ${roi.id} ${roi.name}: ${roi.words}. Click to go to a frame.`);
      strip(host, me, roi);
      return make("div", {className: "roi"}, make("div", {className: "name"}, id, " " + roi.name, make("small", {}, roi.words)), host);
    }));
  }
  root.querySelector(".k-conf").hidden = !data.rois.some(r => r.confidence);
  root.querySelector(".k-draw").hidden = !data.prompts.length;
  root.querySelector("[data-do=correct]").hidden = !data.can_correct;
  for (const name of ["worst", "next", "previous"]) root.querySelector(`[data-do=${name}]`).disabled = name === "worst" ? data.worst === null : !data.losses.length;
  const button = root.querySelector("[data-do=play]");
  button.disabled = me.stills;
  button.textContent = root.querySelector("video").paused ? "▶" : "❚❚";
}
function go(root, me, frame, words) {
  seek(root, me, frame);
  root.querySelector(".live").textContent = `${words}: frame ${me.at}`;
}
function loss(root, me, onwards) {
  const starts = me.data.losses, found = onwards ? starts.find(f => f > me.at) : starts.findLast(f => f < me.at);
  if (found === undefined) root.querySelector(".live").textContent = onwards ? "No loss after this frame" : "No loss before this frame";
  else go(root, me, found, "Lost from here");
}
function correct(root, me) {
  if (!me.data.can_correct) return;
  root.querySelector("video").pause();
  me.seq = Math.max(me.seq + 1, Date.now());
  me.queue.push({seq: me.seq, op: "correct", id: me.id, frame: me.at});
  me.push("ops", me.queue);
  root.ownerDocument.querySelector(".st-key-draw-place")?.scrollIntoView({behavior: "smooth"});
}
function setUp(root, me) {
  me.ready = true;
  const video = root.querySelector("video"), rows = root.querySelector(".rows");
  const repaint = () => { draw(root, me); paint(root, me); };
  video.addEventListener("play", repaint);
  video.addEventListener("pause", repaint);
  video.addEventListener("error", () => { if (me.data.src) { me.data.src = ""; load(root, me); draw(root, me); } });
  const follow = seconds => { if (!video.paused) { me.at = frameAt(me, seconds); paint(root, me); } };
  if (video.requestVideoFrameCallback) {
    const step = (_, meta) => { follow(meta.mediaTime); video.requestVideoFrameCallback(step); };
    video.requestVideoFrameCallback(step);
  } else video.addEventListener("timeupdate", () => follow(video.currentTime));
  new ResizeObserver(() => { if (me.data) root.querySelector(".head").style.left = `${headLeft(root, me)}px`; }).observe(rows);
  let dragging = false;
  const toFrame = event => {
    const r = root.querySelector(".strip").getBoundingClientRect();
    seek(root, me, Math.floor((event.clientX - r.left) / r.width * me.data.n_frames));
  };
  rows.addEventListener("pointerdown", event => { if (!event.target.closest(".strip")) return; dragging = true; rows.setPointerCapture(event.pointerId); toFrame(event); event.preventDefault(); });
  rows.addEventListener("pointermove", event => { if (dragging) toFrame(event); });
  for (const name of ["pointerup", "pointercancel"]) rows.addEventListener(name, () => { dragging = false; });
  const act = what => {
    if (what === "play") { if (!me.stills) { if (video.paused) video.play(); else video.pause(); } }
    else if (what === "back" || what === "forward") seek(root, me, me.at + (what === "back" ? -1 : 1));
    else if (what === "masks") { me.show = root.querySelector("input").checked; paint(root, me); }
    else if (what === "worst" && me.data.worst !== null) go(root, me, me.data.worst, "Worst frame");
    else if (what === "next" || what === "previous") loss(root, me, what === "next");
    else if (what === "correct") correct(root, me);
  };
  root.addEventListener("click", event => act(event.target.closest("[data-do]")?.dataset.do));
  root.addEventListener("keydown", event => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const onControl = event.target.closest("button,input"), by = {ArrowLeft: -1, ArrowRight: 1}[event.key];
    if (by) seek(root, me, me.at + by * (event.shiftKey ? 10 : 1));
    else if (event.key === " ") { if (onControl) return; act("play"); }
    else {
      const what = {w: "worst", n: "next", p: "previous", c: "correct"}[event.key.toLowerCase()];
      if (!what) return;
      act(what);
    }
    event.preventDefault();
  });
}
