// The part of a video to use, chosen over the playing video. Nothing here runs Python while the user drags: the range
// is sent once when a handle is let go. A video that the browser cannot play is shown as single frames of the server.
// Frames are the unit; data.knots ([[frame, seconds], ...]) carries frame numbers to the file's own clock and back.
export default function ({data, parentElement, setStateValue}) {
  const root = parentElement.querySelector(".trim");
  const me = (root._me ??= {at: 0, queue: [], seq: 0, from: null});
  me.data = data;
  me.push = setStateValue;
  me.queue = me.queue.filter(o => o.seq > data.applied);
  if (me.id !== data.id || me.rev !== data.rev) {
    me.range = {start: data.start, stop: data.stop, exclude: data.exclude.map(e => [...e])};
    me.rev = data.rev;
  }
  if (me.id !== data.id) {
    me.id = data.id;
    me.from = null;
    root.querySelector(".wrong").textContent = "";
    load(root, me, me.range.start);
  } else if (me.stills === plays(me)) load(root, me, me.at);  // a copy that plays was made, or is gone
  if (!me.ready) setUp(root, me);
  draw(root, me);
}
const shown = (me, frame) => clock(frame / me.data.fps);
const plays = me => Boolean(me.data.src) && me.data.src !== me.failed;
function load(root, me, frame) {
  const video = root.querySelector("video"), still = root.querySelector(".still");
  me.stills = !plays(me);
  video.hidden = me.stills;
  still.hidden = !me.stills;
  video.setAttribute("aria-label", `${me.data.title}: space plays, arrow keys step one frame`);
  if (me.stills) { video.removeAttribute("src"); video.load(); }
  else {
    video.src = me.data.src;
    if (me.data.poster) video.poster = me.data.poster.replace("FRAME", String(me.range.start));
  }
  seek(root, me, frame);
}
function seek(root, me, frame) {
  seekTo(root, me, frame);
  head(root, me);
}
function head(root, me) {
  root.querySelector(".head").style.left = 100 * (me.at + .5) / me.data.n_frames + "%";
  root.querySelector(".now").textContent = `frame ${me.at} · ${shown(me, me.at)}`;
}
function send(me) {
  me.push("range", {id: me.id, rev: me.rev, start: me.range.start, stop: me.range.stop, exclude: me.range.exclude});
}
function setEnd(root, me, end, frame, done = true) {
  const n = me.data.n_frames, r = me.range;
  root.querySelector(".wrong").textContent = "";
  if (end === "start") r.start = clampTo(Math.round(frame), 0, r.stop - 1);
  else r.stop = clampTo(Math.round(frame), r.start + 1, n);
  draw(root, me);
  seek(root, me, end === "start" ? r.start : r.stop - 1);
  if (done) send(me);
}
function leaveOut(root, me) {
  if (me.from === null) { me.from = me.at; say(root, `Leaving out from frame ${me.at}. Go to the end of that part and press X again`); }
  else {
    const [a, b] = [Math.min(me.from, me.at), Math.max(me.from, me.at) + 1];
    me.from = null;
    const merged = [];
    for (const [x, y] of [...me.range.exclude, [a, b]].sort((p, q) => p[0] - q[0])) {
      const last = merged.at(-1);
      if (last && x <= last[1]) last[1] = Math.max(last[1], y); else merged.push([x, y]);
    }
    me.range.exclude = merged;
    say(root, `Frames ${a} to ${b - 1} left out`);
    send(me);
  }
  draw(root, me);
}
function addFrame(root, me) {
  if (!me.data.can_add) return;
  me.seq = Math.max(me.seq + 1, Date.now());
  me.queue.push({seq: me.seq, op: "add", id: me.id, frame: me.at});
  me.push("ops", me.queue);
  say(root, `Frame ${me.at} added to the board`);
  draw(root, me);
}
function play(root, me) {
  const video = root.querySelector("video");
  if (me.stills) return;
  if (video.paused) video.play(); else video.pause();
}
function say(root, words) {
  root.querySelector(".live").textContent = words;
}
function draw(root, me) {
  const {data, range} = me, n = data.n_frames;
  const strip = root.querySelector(".strip");
  const open = me.from === null ? [] : [[Math.min(me.from, me.at), Math.max(me.from, me.at) + 1]];
  castleStrip(strip, {n, motion: data.motion, start: range.start, stop: range.stop, exclude: [...range.exclude, ...open], labelled: data.labelled, selected: data.selected});
  strip.querySelectorAll(".add").forEach(e => e.remove());
  for (const f of [...data.added, ...me.queue.map(o => o.frame)]) {
    const mark = make("span", {className: "add"});
    mark.style.left = 100 * (f + .5) / n + "%";
    strip.append(mark);
  }
  for (const handle of root.querySelectorAll(".handle")) {
    const end = handle.dataset.end, frame = range[end];
    handle.style.left = 100 * frame / n + "%";
    handle.setAttribute("aria-valuemin", end === "start" ? 0 : range.start + 1);
    handle.setAttribute("aria-valuemax", end === "start" ? range.stop - 1 : n);
    handle.setAttribute("aria-valuenow", frame);
    handle.setAttribute("aria-valuetext", `${shown(me, frame)}, frame ${frame}`);
  }
  for (const input of root.querySelectorAll("input"))
    if (root.getRootNode().activeElement !== input) input.value = shown(me, range[input.dataset.end]);
  let used = range.stop - range.start;
  for (const [a, b] of range.exclude) used -= Math.max(0, Math.min(b, range.stop) - Math.max(a, range.start));
  root.querySelector(".sum").textContent = `frames ${range.start} to ${range.stop - 1} · ${used} of ${n} frames in use · ${clock(used / data.fps)}`;
  root.querySelector(".out").replaceChildren(...range.exclude.map(([a, b], i) => {
    const drop = make("button", {type: "button", onclick: () => { range.exclude.splice(i, 1); draw(root, me); send(me); }}, "✕");
    drop.setAttribute("aria-label", `Use frames ${a} to ${b - 1} again`);
    return make("li", {}, `left out ${shown(me, a)} – ${shown(me, b)}`, drop);
  }));
  const leave = root.querySelector("[data-do=leave]");
  leave.classList.toggle("on", me.from !== null);
  leave.lastElementChild.textContent = me.from === null ? "Leave out" : "… to here";
  const add = root.querySelector("[data-do=add]");  // always there: the row keeps its place when a board comes
  add.disabled = !data.can_add;
  add.title = data.can_add ? "" : "To add single frames, choose some first: they wait to be looked at, and more can join them";
  const button = root.querySelector("[data-do=play]");
  button.disabled = me.stills;
  button.title = me.stills ? "This browser cannot play the video's codec: single frames are shown" : "";
  button.textContent = root.querySelector("video").paused ? "▶" : "❚❚";
  head(root, me);
}
function parse(me, text) {
  const t = text.trim().toLowerCase();
  if (/^\d+\s*f$/.test(t)) return parseInt(t);
  const parts = t.replace(/s$/, "").split(":");
  if (parts.length > 3 || !parts.every(p => /^\d+([.,]\d*)?$/.test(p))) return null;
  return Math.round(parts.reduce((sum, p) => sum * 60 + parseFloat(p.replace(",", ".")), 0) * me.data.fps);
}
// Takes what was typed into From or to; what cannot be is said beside the fields, and the last good value is back.
function typed(root, me, input) {
  const end = input.dataset.end, frame = parse(me, input.value), {start, stop} = me.range, n = me.data.n_frames;
  const stays = `${end === "start" ? "From" : "to"} stays ${shown(me, me.range[end])}.`, late = `The video ends at ${shown(me, n)}.`;
  let wrong = "";
  if (frame === null) wrong = `“${input.value.trim()}” is no time. Write one like 00:01:30.5, or a frame like 1200f. ${stays}`;
  else if (end === "start" && frame >= n) wrong = `${late} ${stays}`;
  else if (end === "start" ? frame >= stop : frame <= start) {
    const [a, b] = end === "start" ? [frame, stop] : [start, frame];
    wrong = b < a ? `The end (${shown(me, b)}) lies before the beginning (${shown(me, a)}). ${stays}` : `The end must lie after the beginning (${shown(me, a)}). ${stays}`;
  }
  if (!wrong) {
    setEnd(root, me, end, frame);
    if (frame > n) wrong = late;
  }
  root.querySelector(".wrong").textContent = wrong;
  input.value = shown(me, me.range[end]);
}
function setUp(root, me) {
  me.ready = true;
  const video = root.querySelector("video"), track = root.querySelector(".track");
  const paintPlay = () => draw(root, me);
  video.addEventListener("play", paintPlay);
  video.addEventListener("pause", paintPlay);
  video.addEventListener("error", () => { if (plays(me)) { me.failed = me.data.src; load(root, me, me.at); draw(root, me); } });
  const follow = () => { if (!video.paused) { me.at = frameAt(me, video.currentTime); head(root, me); } };
  if (video.requestVideoFrameCallback) {
    const step = (_, meta) => { if (!video.paused) { me.at = frameAt(me, meta.mediaTime); head(root, me); } video.requestVideoFrameCallback(step); };
    video.requestVideoFrameCallback(step);
  } else video.addEventListener("timeupdate", follow);
  const frameOf = event => {
    const r = root.querySelector(".strip").getBoundingClientRect();
    return (event.clientX - r.left) / r.width * me.data.n_frames;
  };
  let drag = null;
  track.addEventListener("pointerdown", event => {
    drag = event.target.dataset.end ?? "head";
    track.setPointerCapture(event.pointerId);
    if (drag === "head") seek(root, me, Math.floor(frameOf(event))); else event.target.focus();
    event.preventDefault();
  });
  track.addEventListener("pointermove", event => {
    if (drag === "head") seek(root, me, Math.floor(frameOf(event)));
    else if (drag) setEnd(root, me, drag, frameOf(event), false);
    if (drag && me.from !== null) draw(root, me);
  });
  const end = () => { if (drag && drag !== "head") send(me); drag = null; };
  track.addEventListener("pointerup", end);
  track.addEventListener("pointercancel", end);
  for (const handle of root.querySelectorAll(".handle"))
    handle.addEventListener("keydown", event => {
      const by = {ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: 100, PageDown: -100}[event.key];
      const which = handle.dataset.end;
      if (by) setEnd(root, me, which, me.range[which] + by * (event.shiftKey ? 10 : 1));
      else if (event.key === "Home") setEnd(root, me, which, 0);
      else if (event.key === "End") setEnd(root, me, which, me.data.n_frames);
      else return;
      event.preventDefault(); event.stopPropagation();
    });
  for (const input of root.querySelectorAll("input")) {
    input.addEventListener("change", () => typed(root, me, input));
    input.addEventListener("input", () => { root.querySelector(".wrong").textContent = ""; });
  }
  const act = what => {
    if (what === "play") play(root, me);
    if (what === "back" || what === "forward") { seek(root, me, me.at + (what === "back" ? -1 : 1)); if (me.from !== null) draw(root, me); }
    if (what === "in") setEnd(root, me, "start", me.at);
    if (what === "out") setEnd(root, me, "stop", me.at + 1);
    if (what === "leave") leaveOut(root, me);
    if (what === "add") addFrame(root, me);
  };
  root.addEventListener("click", event => act(event.target.closest("[data-do]")?.dataset.do));
  root.addEventListener("keydown", event => {
    if (event.target.tagName === "INPUT" || event.ctrlKey || event.metaKey || event.altKey) return;
    const onButton = event.target.closest("button");
    const by = {ArrowLeft: -1, ArrowRight: 1}[event.key];
    if (by) { seek(root, me, me.at + by * (event.shiftKey ? 10 : 1)); if (me.from !== null) draw(root, me); }
    else if (event.key === " " && !onButton) act("play");
    else {
      const what = {i: "in", o: "out", x: "leave", a: "add"}[event.key.toLowerCase()];
      if (!what) return;
      act(what);
    }
    event.preventDefault();
  });
}
