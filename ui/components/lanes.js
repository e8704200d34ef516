// Lanes over one time axis, under the video: traces, codes of frames, the heat map. Zooming, playing and stepping stay
// here; only the frame that is chosen is told to the page. data.knots carries frames to the file's clock and back.
export default function ({data, parentElement, setStateValue}) {
  const root = parentElement.querySelector(".lanes");
  const me = (root._me ??= {cache: new Map()});
  me.data = data;
  me.push = setStateValue;
  if (me.id !== data.id) {
    me.id = data.id; me.view = [0, data.n]; me.at = data.frame; me.cache.clear();
    const video = root.querySelector("video");
    root.querySelector(".shot").hidden = !data.src && !data.poster;
    video.hidden = !data.src;
    root.querySelector(".still").hidden = !!data.src;
    video.setAttribute("aria-label", data.title);
    if (data.src) video.src = data.src; else video.removeAttribute("src");
    me.seen = null;
  }
  if (!me.ready) setUp(root, me);
  if (me.told !== data.frame) { me.told = data.frame; if (me.sent !== data.frame) { me.at = data.frame; keepInSight(me); } }
  build(root, me);
  seek(root, me, me.at, false);
}
function build(root, me) {
  const rows = root.querySelector(".rows");
  rows.replaceChildren(...me.data.lanes.map(lane => {
    const canvas = make("canvas");
    canvas.style.height = lane.height + "px";
    return make("div", {className: "lane"}, canvas, ...(lane.label ? [make("b", {}, lane.label)] : []));
  }));
  root.querySelector("[data-do=play]").hidden = !me.data.src;
  root.querySelector(".legend").replaceChildren(...me.data.legend.map(([code, name]) => {
    const box = make("i");
    box.style.background = css(colourOf(me.data.legend_kind, code));
    return make("span", {}, box, name);
  }));
  paint(root, me);
}
function colourOf(kind, code) {
  if (kind === "status") return code === 0 ? [148, 163, 160] : rgbOf(["#94a3a0", "#c2410c", "#be185d", "#a16207", "#dc2626", "#7c3aed", "#4f46e5", "#475569"][code % 8]);
  return codeColour(code, false);
}
async function got(me, url, read) {
  if (!me.cache.has(url)) {
    if (me.cache.size > 60) me.cache.delete(me.cache.keys().next().value);
    me.cache.set(url, fetch(url).then(async answer => { if (!answer.ok) throw new Error(await answer.text()); return read(answer); }));
    me.cache.get(url).catch(() => me.cache.delete(url));
  }
  return me.cache.get(url);
}
function paint(root, me) {
  const [a, b] = me.view, canvases = root.querySelectorAll(".lane canvas"), round = (me.round = (me.round ?? 0) + 1);
  root.querySelector(".axis").firstElementChild.textContent = `frame ${a} · ${clock(a / me.data.fps)}`;
  root.querySelector(".axis").lastElementChild.textContent = `${b - 1} · ${clock((b - 1) / me.data.fps)}`;
  root.querySelector(".span").textContent = b - a < me.data.n ? `· ${b - a} frames in sight` : "";
  me.data.lanes.forEach(async (lane, i) => {
    const canvas = canvases[i], box = canvas.getBoundingClientRect();
    if (!box.width) return;
    const query = `start=${a}&stop=${b}&bins=${Math.min(1000, Math.max(100, Math.round(box.width)))}`;
    try {
      let ready;
      if (lane.kind === "codes") { const codes = await got(me, lane.url, async r => new Uint8Array(await r.arrayBuffer())); ready = () => paintCodes(canvas, codes, me.view, me.data.legend_kind); }
      else if (lane.kind === "heat") {
        const picture = await got(me, `${lane.url}&${query}`, async r => [r.headers.get("X-Edges").split(",").map(Number), await createImageBitmap(await r.blob())]);
        ready = () => paintHeat(canvas, picture, me.view);
      } else { const trace = (await got(me, `${lane.url}&${query}`, r => r.json()))[lane.name]; ready = () => paintTrace(root, canvas, trace, me.view); }
      if (round === me.round) ready();
    } catch (error) { root.querySelector(".live").textContent = String(error.message); }
  });
  cursor(root, me);
}
function sized(canvas) {
  const box = canvas.getBoundingClientRect(), dpr = Math.min(2, devicePixelRatio || 1);
  canvas.width = Math.round(box.width * dpr); canvas.height = Math.round(box.height * dpr);
  return canvas.getContext("2d");
}
function paintCodes(canvas, codes, [a, b], kind) {
  const pen = sized(canvas), W = canvas.width, counts = new Uint32Array(256);
  for (let x = 0; x < W; x++) {
    const from = Math.floor(a + (b - a) * x / W), to = Math.max(from + 1, Math.floor(a + (b - a) * (x + 1) / W));
    let best = codes[from];
    if (kind === "status") { for (let f = from; f < to; f++) if (codes[f]) { best = codes[f]; break; } }  // a gap of one frame is seen
    else { counts.fill(0); for (let f = from; f < to; f++) if (++counts[codes[f]] > counts[best]) best = codes[f]; }
    if (best === 255) continue;
    pen.fillStyle = css(colourOf(kind, best));
    if (kind === "status" && best === 0) pen.fillRect(x, canvas.height * .42, 1, canvas.height * .16); else pen.fillRect(x, 0, 1, canvas.height);
  }
}
function paintHeat(canvas, [[from, to], bitmap], [a, b]) {
  const pen = sized(canvas), W = canvas.width;
  pen.imageSmoothingEnabled = false;
  pen.drawImage(bitmap, (from - a) / (b - a) * W, 0, (to - from) / (b - a) * W, canvas.height);
}
function paintTrace(root, canvas, trace, [a, b]) {
  if (!trace) return;
  const pen = sized(canvas), {width: W, height: H} = canvas, {edges, least, largest} = trace;
  let low = Infinity, high = -Infinity;
  for (let i = 0; i < least.length; i++) if (least[i] !== null) { low = Math.min(low, least[i]); high = Math.max(high, largest[i]); }
  if (low > high) return;
  const y = v => H - 4 - (v - low) / (high - low || 1) * (H - 8), x = f => (f - a) / (b - a) * W;
  pen.strokeStyle = pen.fillStyle = getComputedStyle(root).getPropertyValue("--st-primary-color") || "#0f766e";
  pen.lineWidth = Math.max(1.5, W / 900);
  pen.beginPath();
  let on = false;
  for (let i = 0; i < least.length; i++) {
    if (least[i] === null) { on = false; continue; }
    const at = x((edges[i] + edges[i + 1]) / 2);
    if (on) pen.lineTo(at, y(least[i])); else pen.moveTo(at, y(least[i]));
    pen.lineTo(at, y(largest[i]) + .01);
    on = true;
  }
  pen.stroke();
  pen.fillStyle = getComputedStyle(root).color;
  pen.font = `${Math.round(10 * Math.min(2, devicePixelRatio || 1))}px sans-serif`;
  pen.textAlign = "right";
  pen.fillText(high.toPrecision(3), W - 5, 14 * Math.min(2, devicePixelRatio || 1));
  pen.fillText(low.toPrecision(3), W - 5, H - 5);
}
function cursor(root, me) {
  const [a, b] = me.view, at = (me.at + .5 - a) / (b - a), track = root.querySelector(".track");
  root.querySelector(".cursor").style.left = 100 * at + "%";
  root.querySelector(".cursor").hidden = at < 0 || at > 1;
  root.querySelector(".now").textContent = `frame ${me.at} · ${clock(me.at / me.data.fps)}`;
  for (const [name, value] of [["min", 0], ["max", me.data.n - 1], ["now", me.at], ["text", `frame ${me.at}, ${clock(me.at / me.data.fps)}`]]) track.setAttribute("aria-value" + name, value);
}
function keepInSight(me) {
  const [a, b] = me.view, w = b - a;
  if (me.at >= a && me.at < b) return false;
  const start = Math.max(0, Math.min(me.data.n - w, Math.round(me.at - w / 10)));
  me.view = [start, start + w];
  return true;
}
function seek(root, me, frame, tell = true) {
  me.at = Math.max(0, Math.min(me.data.n - 1, Math.round(frame)));
  const video = root.querySelector("video"), still = root.querySelector(".still");
  if (me.seen !== me.at) {
    me.seen = me.at;
    if (me.data.src) { video.pause(); video.currentTime = (lookup(me.data.knots, me.at, 0, 1) + lookup(me.data.knots, me.at + 1, 0, 1)) / 2; }
    else if (me.data.poster) { still.src = me.data.poster.replace("FRAME", me.at); still.alt = `${me.data.title}, frame ${me.at}`; }
  }
  if (keepInSight(me)) paint(root, me); else cursor(root, me);
  if (!tell) return;
  clearTimeout(me.timer);
  me.timer = setTimeout(() => { me.sent = me.at; me.push("frame", {frame: me.at, seq: Date.now()}); }, 200);
}
function zoom(root, me, by, around = me.at) {
  const n = me.data.n, [a, b] = me.view, w = Math.max(Math.min(20, n), Math.min(n, Math.round((b - a) / by)));
  const t = b > a ? (around - a) / (b - a) : .5, start = Math.max(0, Math.min(n - w, Math.round(around - t * w)));
  me.view = [start, start + w];
  clearTimeout(me.later);
  cursor(root, me);
  me.later = setTimeout(() => paint(root, me), 60);
}
function setUp(root, me) {
  me.ready = true;
  const track = root.querySelector(".track"), video = root.querySelector("video"), play = root.querySelector("[data-do=play]");
  new ResizeObserver(() => { clearTimeout(me.later); me.later = setTimeout(() => paint(root, me), 60); }).observe(track);
  const frameAt = event => { const r = track.getBoundingClientRect(); return me.view[0] + (event.clientX - r.left) / r.width * (me.view[1] - me.view[0]); };
  let down = false;
  track.addEventListener("pointerdown", event => { down = true; track.setPointerCapture(event.pointerId); seek(root, me, Math.floor(frameAt(event))); });
  track.addEventListener("pointermove", event => { if (down) seek(root, me, Math.floor(frameAt(event))); });
  track.addEventListener("pointerup", () => { down = false; });
  track.addEventListener("pointercancel", () => { down = false; });
  track.addEventListener("wheel", event => { event.preventDefault(); zoom(root, me, Math.exp(-event.deltaY / 400), frameAt(event)); }, {passive: false});
  const toggle = () => { if (me.data.src) { if (video.paused) video.play(); else video.pause(); } };
  track.addEventListener("keydown", event => {
    const by = {ArrowRight: 1, ArrowLeft: -1, PageDown: 100, PageUp: -100}[event.key];
    if (by) seek(root, me, me.at + by * (event.shiftKey ? 10 : 1));
    else if (event.key === "Home") seek(root, me, 0);
    else if (event.key === "End") seek(root, me, me.data.n - 1);
    else if (event.key === " ") toggle();
    else if (event.key === "+" || event.key === "=") zoom(root, me, 1.6);
    else if (event.key === "-") zoom(root, me, 1 / 1.6);
    else return;
    event.preventDefault(); event.stopPropagation();
  });
  const paintPlay = () => { play.textContent = video.paused ? "▶" : "❚❚"; play.setAttribute("aria-label", video.paused ? "Play" : "Pause"); };
  paintPlay();
  video.addEventListener("play", paintPlay);
  video.addEventListener("pause", () => { paintPlay(); if (me.playing) { me.playing = false; seek(root, me, me.at); } });
  video.addEventListener("error", () => { if (me.data.src) { me.data.src = ""; video.hidden = true; root.querySelector(".still").hidden = false; me.seen = null; seek(root, me, me.at, false); play.hidden = true; } });
  const follow = seconds => {
    if (video.paused) return;
    me.playing = true;
    me.at = me.seen = Math.max(0, Math.min(me.data.n - 1, Math.floor(lookup(me.data.knots, seconds, 1, 0) + 1e-3)));
    if (keepInSight(me)) paint(root, me); else cursor(root, me);
  };
  if (video.requestVideoFrameCallback) { const step = (_, meta) => { follow(meta.mediaTime); video.requestVideoFrameCallback(step); }; video.requestVideoFrameCallback(step); }
  else video.addEventListener("timeupdate", () => follow(video.currentTime));
  root.querySelector(".bar").addEventListener("click", event => {
    const what = event.target.dataset.do;
    if (what === "play") toggle();
    if (what === "in") zoom(root, me, 2);
    if (what === "out") zoom(root, me, .5);
    if (what === "all") { me.view = [0, me.data.n]; paint(root, me); }
  });
}
