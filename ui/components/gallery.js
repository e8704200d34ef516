// The board's pictures: one section a video, each with its strip and its tiles.
// What the user does is painted at once and put into a queue of operations {seq, op, ...}; Python applies the ones it
// has not seen (data.applied is the last) and sends the board back. Nothing is lost when two of them meet.
const ICON = {
  keep: "M5 12l5 5L20 7", drop: "M6 6l12 12M18 6L6 18", pin: "M9 4h6l-1 6 3 3H7l3-3-1-6M12 13v7",
  swap: "M4 8h13l-3-3M20 16H7l3 3", look: "M4 9V4h5M20 9V4h-5M4 15v5h5M20 15v5h-5", label: "M4 4h8l8 8-8 8-8-8zM8 8h.01", add: "M12 5v14M5 12h14",
  left: "M15 5l-7 7 7 7", right: "M9 5l7 7-7 7",
};
const WORD = {keep: "Keep", drop: "Dropped", pin: "Pinned", busy: "Swapping…"};
function icon(name) {
  const box = svg("svg", {viewBox: "0 0 24 24", class: "i", "aria-hidden": "true"});
  box.append(svg("path", {d: ICON[name]}));
  return box;
}
export default function ({data, parentElement, setStateValue}) {
  const root = parentElement.querySelector(".board");
  const me = (root._me ??= {seq: 0, queue: [], here: 0, anchor: null, tiles: [], open: null, nodes: new Map()});
  me.data = data;
  me.push = setStateValue;
  me.queue = me.queue.filter(o => o.seq > data.applied);
  if (!me.ready) setUp(root, me);
  build(root, me);
}
function send(me, op) {
  me.seq = Math.max(me.seq + 1, Date.now());
  me.queue.push({seq: me.seq, ...op});
  clearTimeout(me.timer);
  me.timer = setTimeout(() => me.push("ops", me.queue), 120);
}
function stateOf(me, entry) {
  let state = entry.state;
  for (const o of me.queue) if (o.op === "state" && o.keys.includes(entry.key)) state = o.state;
  if (me.queue.some(o => o.op === "swap" && o.key === entry.key)) state = "busy";
  return state;
}
function setState(root, me, keys, state) {
  if (!me.data.editable) return;
  send(me, {op: "state", keys, state});
  paint(root, me);
  say(root, `${keys.length === 1 ? "Frame" : keys.length + " frames"} ${{keep: "kept", drop: "dropped", pin: "pinned"}[state]}`);
}
function toggle(root, me, entry, to) {
  const now = stateOf(me, entry);
  setState(root, me, [entry.key], to === "pin" ? (now === "pin" ? "keep" : "pin") : (now === "drop" ? "keep" : "drop"));
}
function swap(root, me, entry) {
  if (!me.data.editable || stateOf(me, entry) === "busy") return;
  if (!entry.swap) return say(root, "No other frame is left to swap in for this one");
  send(me, {op: "swap", key: entry.key});
  paint(root, me);
}
function say(root, words) {
  root.querySelector(".live").textContent = words;
}
function build(root, me) {
  const {sections} = me.data, host = root.querySelector(".sections");
  root.querySelector(".keys").hidden = !me.data.editable;
  for (const key of root.querySelectorAll(".keys .pins")) key.hidden = !me.data.pins;
  const hadFocus = root.getRootNode().activeElement?.closest?.("li") != null;
  const seen = new Set();
  me.tiles = [];
  sections.forEach((s, i) => {
    let node = me.nodes.get("s" + s.stem);
    if (!node) {
      node = make("section", {}, make("header", {}, make("h3"), make("span", {className: "count"})), make("div", {className: "strip"}),
        make("div", {className: "legend"}), make("ul"));
      node.querySelector("ul").setAttribute("role", "list");
      me.nodes.set("s" + s.stem, node);
      wireStrip(root, me, node);
    }
    seen.add("s" + s.stem);
    node._s = s;
    if (host.children[i] !== node) host.insertBefore(node, host.children[i] ?? null);
    node.querySelector("h3").textContent = s.title;
    node.style.setProperty("--aspect", s.aspect);
    const drawn = JSON.stringify([s.start, s.stop, s.exclude, s.labelled, s.selected, (s.motion ?? []).length]);
    if (node._drawn !== drawn) {
      node._drawn = drawn;
      castleStrip(node.querySelector(".strip"), {n: s.n_frames, ...s});
      const legend = [["", "motion"], ["p", "picked"]];
      if (s.exclude.length) legend.push(["x", "left out"]);
      if (s.labelled.length) legend.push(["l", "labelled"]);
      if (s.selected.length) legend.push(["s", "written before"]);
      node.querySelector(".legend").replaceChildren(...legend.map(([c, w]) => make("span", {}, make("i", {className: c}), w)));
    }
    const list = node.querySelector("ul");
    list.setAttribute("aria-label", `Frames of ${s.title}`);
    s.entries.forEach((e, j) => {
      let tile = me.nodes.get(e.key);
      if (!tile) me.nodes.set(e.key, tile = newTile(root, me));
      seen.add(e.key);
      tile._e = e; tile._s = s;
      const img = tile.querySelector("img");
      if (tile._shot !== e.key) { tile._shot = e.key; img.src = e.src; }
      overlay(tile, e.points);
      tile.querySelector("b").textContent = "frame " + e.frame;
      tile.querySelector(".t").textContent = e.time;
      tile.querySelector(".why").textContent = tile.querySelector(".why").title = e.reason;
      img.alt = "";
      if (list.children[j] !== tile) list.insertBefore(tile, list.children[j] ?? null);
      me.tiles.push(tile);
    });
    while (list.children.length > s.entries.length) list.lastChild.remove();
  });
  while (host.children.length > sections.length) host.lastChild.remove();
  for (const key of me.nodes.keys()) if (!seen.has(key)) me.nodes.delete(key);
  me.here = Math.min(me.here, Math.max(0, me.tiles.length - 1));
  paint(root, me);
  if (hadFocus || me.refocus) { me.refocus = false; focusTile(root, me, me.here); }
  if (me.open) showLarge(root, me);
}
// Points over the picture: [x, y, colour, name], x and y in shares of the picture as it lies in its box.
function overlay(tile, points) {
  const drawn = JSON.stringify(points ?? []);
  if (tile._points === drawn) return;
  tile._points = drawn;
  const shot = tile.querySelector(".shot");
  shot.querySelector(".points")?.remove();
  if (!points?.length) return;
  const box = svg("svg", {class: "points", "aria-hidden": "true"});
  for (const [x, y, colour, name] of points) {
    const dot = svg("circle", {cx: 100 * x + "%", cy: 100 * y + "%", r: 3.2, fill: colour});
    dot.append(svg("title", {}));
    dot.lastChild.textContent = name;
    box.append(dot);
  }
  shot.insertBefore(box, shot.querySelector(".mark"));
}
// The same over the large picture, which keeps its shape in a box of another one: so does the drawing.
function overlayLarge(canvas, aspect, points) {
  canvas.querySelector(".points")?.remove();
  if (!points?.length) return;
  const [width, height] = aspect.split("/").map(Number);
  const box = svg("svg", {class: "points", viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true"});
  for (const [x, y, colour, name] of points) {
    const dot = svg("circle", {cx: x * width, cy: y * height, r: width / 160, fill: colour, style: `stroke-width:${width / 640}`});
    dot.append(svg("title", {}));
    dot.lastChild.textContent = name;
    box.append(dot);
  }
  canvas.append(box);
}
function newTile(root, me) {
  const face = make("button", {type: "button", className: "tile"},
    make("span", {className: "shot", style: "display:block"}, make("img", {loading: "lazy", decoding: "async"}), make("span", {className: "mark"})),
    make("span", {className: "text"}, make("span", {className: "where"}, make("b"), make("span", {className: "t"})), make("span", {className: "why"})));
  const tools = make("span", {className: "tools"});
  for (const [name, words] of [["pin", "Pin"], ["swap", "Swap for the next best"], ["look", "Look closer"]]) {
    const button = make("button", {type: "button", title: words}, icon(name));
    button.dataset.do = name;
    button.dataset.words = words;
    tools.append(button);
  }
  return make("li", {}, face, tools);
}
function paint(root, me) {
  me.tiles.forEach((tile, i) => {
    const e = tile._e, state = stateOf(me, e);
    const word = e.mark ?? me.data.words?.[state] ?? WORD[state];
    if (tile._state !== state + word) {
      tile._state = state + word;
      tile.className = state;
      tile.querySelector(".mark").replaceChildren(icon(state === "busy" ? "swap" : e.icon ?? state), word);
    }
    const face = tile.firstChild, on = i === me.here;
    face.tabIndex = on ? 0 : -1;
    if (me.data.editable) face.setAttribute("aria-pressed", String(state !== "drop"));
    face.setAttribute("aria-label", [tile._s.title, `frame ${e.frame}`, e.time, e.reason, word].filter(Boolean).join(", "));
    for (const b of tile.lastChild.children) {
      b.tabIndex = on ? 0 : -1;
      b.hidden = b.dataset.do !== "look" && !(me.data.editable && me.data.pins);
      if (b.dataset.do === "swap") [b.disabled, b.title] = [!e.swap, e.swap ? "Swap for the next best" : "No other frame is left to swap in for this one"];
      b.setAttribute("aria-label", `${b.dataset.words}: frame ${e.frame}`);
    }
  });
  for (const node of root.querySelectorAll("section")) {
    const s = node._s, strip = node.querySelector(".strip");
    let kept = 0;
    strip.querySelectorAll(".tick").forEach(t => t.remove());
    for (const e of s.entries) {
      const state = stateOf(me, e);
      kept += state !== "drop";
      const tick = make("span", {className: "tick " + state + (me.tiles[me.here]?._e === e ? " here" : "")});
      tick.style.left = 100 * (e.frame + .5) / s.n_frames + "%";
      strip.append(tick);
    }
    node.querySelector(".count").textContent = s.count ?? `${kept} of ${s.entries.length} frames kept · ${s.length}`;
  }
}
function focusTile(root, me, i) {
  me.here = Math.max(0, Math.min(i, me.tiles.length - 1));
  paint(root, me);
  me.tiles[me.here]?.firstChild.focus({preventScroll: false});
}
function rowStep(me, way) {
  const from = me.tiles[me.here].getBoundingClientRect();
  let best = me.here, score = Infinity;
  me.tiles.forEach((tile, i) => {
    const r = tile.getBoundingClientRect(), dy = (r.top - from.top) * way;
    if (dy < from.height * .5) return;
    const s = dy * 4 + Math.abs(r.left - from.left);
    if (s < score) { score = s; best = i; }
  });
  return best;
}
function setUp(root, me) {
  me.ready = true;
  const sections = root.querySelector(".sections");
  sections.addEventListener("click", event => {
    const tile = event.target.closest("li");
    if (!tile) return;
    const i = me.tiles.indexOf(tile), button = event.target.closest("[data-do]");
    if (button?.dataset.do === "pin") toggle(root, me, tile._e, "pin");
    else if (button?.dataset.do === "swap") swap(root, me, tile._e);
    else if (button) { me.here = i; me.open = {tile: true}; showLarge(root, me); return; }
    else if (event.shiftKey && me.anchor !== null) {
      const [a, b] = [Math.min(i, me.anchor), Math.max(i, me.anchor)];
      setState(root, me, me.tiles.slice(a, b + 1).map(t => t._e.key), stateOf(me, me.tiles[me.anchor]._e));
    } else if (me.data.editable) toggle(root, me, tile._e);
    else { me.here = i; me.open = {tile: true}; showLarge(root, me); return; }
    if (!event.shiftKey) me.anchor = i;
    if (!button) focusTile(root, me, i); else { me.here = i; paint(root, me); }
  });
  sections.addEventListener("focusin", event => {
    if (me.open) return;
    const i = me.tiles.indexOf(event.target.closest("li"));
    if (i >= 0 && i !== me.here) { me.here = i; paint(root, me); }
  });
  sections.addEventListener("keydown", event => {
    if (!event.target.closest("li") || event.ctrlKey || event.metaKey || event.altKey) return;
    const onTool = event.target.closest("[data-do]");
    if (onTool && [" ", "Enter"].includes(event.key)) return;
    if (keys(root, me, event, false)) { event.preventDefault(); event.stopPropagation(); }
  });
  const dialog = root.querySelector("dialog");
  dialog.addEventListener("close", () => { me.open = null; focusTile(root, me, me.here); });
  dialog.querySelector("img").addEventListener("load", () => { if (me.over) overlayLarge(dialog.querySelector(".canvas"), ...me.over); });
  dialog.addEventListener("click", event => {
    if (event.target === dialog) return dialog.close();
    const what = event.target.closest("[data-do]")?.dataset.do, entry = me.tiles[me.here]?._e;
    if (what === "close") dialog.close();
    if (what === "prev" || what === "next") stepLarge(root, me, what === "next" ? 1 : -1);
    if (what === "keep" && entry) { toggle(root, me, entry); showLarge(root, me); }
    if (what === "pin" && entry) { toggle(root, me, entry, "pin"); showLarge(root, me); }
    if (what === "swap" && entry) { swap(root, me, entry); showLarge(root, me); }
    if (what === "add") addFrame(root, me);
  });
  dialog.addEventListener("keydown", event => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.key === "Escape" || event.key === "Tab") return;
    if ([" ", "Enter"].includes(event.key) && event.target.closest("button")) return;
    if (event.key === "Enter") return dialog.close();
    if (me.open && !me.open.tile && event.key === "a") { addFrame(root, me); event.preventDefault(); return; }
    if (keys(root, me, event, true)) { event.preventDefault(); event.stopPropagation(); }
  });
}
function keys(root, me, event, large) {
  const tile = me.tiles[me.here], many = event.shiftKey;
  if (!tile && !large) return false;
  const arrow = {ArrowRight: 1, ArrowLeft: -1}[event.key];
  if (large && arrow) { stepLarge(root, me, me.open?.tile ? arrow : arrow * (many ? 10 : 1)); return true; }
  if (large && !me.open?.tile) return false;
  if (arrow || (!large && ["ArrowDown", "ArrowUp", "Home", "End"].includes(event.key))) {
    const before = me.here;
    const next = arrow ? me.here + arrow : event.key === "Home" ? 0 : event.key === "End" ? me.tiles.length - 1 : rowStep(me, event.key === "ArrowDown" ? 1 : -1);
    focusTile(root, me, next);
    if (many && me.here !== before) setState(root, me, [me.tiles[me.here]._e.key], stateOf(me, me.tiles[before]._e));
    return true;
  }
  if (event.key === " ") toggle(root, me, tile._e);
  else if (me.data.pins && "pP".includes(event.key)) toggle(root, me, tile._e, "pin");
  else if (me.data.pins && "sS".includes(event.key)) swap(root, me, tile._e);
  else if (event.key === "Enter") me.open = {tile: true};
  else return false;
  if (me.open) showLarge(root, me);
  return true;
}
function frameUrl(template, frame) {
  return template.replace("FRAME", String(frame));
}
function showLarge(root, me) {
  const dialog = root.querySelector("dialog"), tile = me.tiles[me.here];
  const s = me.open.tile ? tile._s : me.open.section, frame = me.open.tile ? tile._e.frame : me.open.frame;
  const known = me.open.tile ? tile._e : null, state = known && stateOf(me, known);
  const src = known?.large ?? frameUrl(s.large, frame), img = dialog.querySelector("img");
  // while the next picture comes the last one stays: it must not carry the next one's points
  const changes = img.getAttribute("src") !== src;
  if (changes) img.src = src;
  me.over = [s.aspect, known?.points];
  overlayLarge(dialog.querySelector(".canvas"), s.aspect, changes || !img.complete ? [] : known?.points);
  img.alt = `${s.title}, frame ${frame}`;
  dialog.setAttribute("aria-label", img.alt);
  dialog.querySelector(".say b").textContent = `Frame ${frame} · ${known ? known.time : clock(frame / s.fps)}`;
  dialog.querySelector(".say span").textContent = known ? [known.reason, known.mark ?? me.data.words?.[state] ?? WORD[state]].filter(Boolean).join(" · ") : `${s.title} · not on the board`;
  for (const b of dialog.querySelectorAll("[data-do]")) {
    const what = b.dataset.do;
    if (["keep", "pin", "swap"].includes(what)) b.hidden = !known || !me.data.editable || (what !== "keep" && !me.data.pins);
    if (what === "add") b.hidden = !!known || !me.data.editable;
    if (what === "keep" && known) b.lastChild.textContent = state === "drop" ? "Keep" : "Drop";
    if (what === "pin" && known) b.lastChild.textContent = state === "pin" ? "Unpin" : "Pin";
    if (what === "swap" && known) b.disabled = !known.swap || state === "busy";
  }
  if (!dialog.open) dialog.showModal();
}
function stepLarge(root, me, by) {
  if (me.open.tile) { me.here = Math.max(0, Math.min(me.here + by, me.tiles.length - 1)); paint(root, me); }
  else me.open.frame = Math.max(0, Math.min(me.open.frame + by, me.open.section.n_frames - 1));
  showLarge(root, me);
}
function addFrame(root, me) {
  const {section, frame} = me.open;
  send(me, {op: "add", stem: section.stem, frame});
  root.querySelector("dialog").close();
  say(root, `Frame ${frame} added`);
}
function wireStrip(root, me, node) {
  const strip = node.querySelector(".strip"), peek = root.querySelector(".peek");
  const at = event => {
    const r = strip.getBoundingClientRect(), s = node._s;
    const frame = Math.max(0, Math.min(s.n_frames - 1, Math.floor((event.clientX - r.left) / r.width * s.n_frames)));
    const near = s.entries.find(e => Math.abs((e.frame + .5) / s.n_frames * r.width - (event.clientX - r.left)) < 5);
    return [near ? near.frame : frame, near];
  };
  strip.addEventListener("pointermove", event => {
    if (!node._s.small) return;
    const [frame] = at(event), s = node._s, home = root.getBoundingClientRect(), r = strip.getBoundingClientRect();
    peek.hidden = false;
    peek.style.left = Math.max(0, Math.min(home.width - 180, event.clientX - home.left - 90)) + "px";
    peek.style.top = r.bottom - home.top + 6 + "px";
    peek.querySelector("div").textContent = `frame ${frame} · ${clock(frame / s.fps)}`;
    clearTimeout(me.peekTimer);
    me.peekTimer = setTimeout(() => { peek.querySelector("img").src = frameUrl(s.small, frame); }, 40);
  });
  strip.addEventListener("pointerleave", () => { clearTimeout(me.peekTimer); peek.hidden = true; });
  strip.addEventListener("click", event => {
    const [frame, near] = at(event);
    peek.hidden = true;
    if (near) return focusTile(root, me, me.tiles.findIndex(t => t._e === near));
    if (!node._s.large) return;
    me.open = {tile: false, section: node._s, frame};
    showLarge(root, me);
  });
}
