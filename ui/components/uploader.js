// Big files in pieces, by the open tus 1.0 protocol. The work lives on the window, so it goes on while the user looks
// at other pages of the app; where each file stands on the server is kept in localStorage, so that the same file picked
// again after a killed tab or a lost connection goes on where it stopped.
const ALL = (window.__castleUploads ??= {jobs: [], listeners: new Set()});
const HEADERS = token => ({"Tus-Resumable": "1.0.0", "X-Upload-Token": token});
const WAITS = [0, 1000, 2000, 4000, 8000, 15000, 30000, 30000, 30000];
export default function ({data, parentElement, setStateValue}) {
  const root = parentElement.querySelector(".up");
  root._data = data;
  root._push = setStateValue;
  if (data.token) for (const job of ALL.jobs) if (job.group === data.group) job.token = data.token;
  const input = root.querySelector("input");
  if (input) {
    input.accept = data.accept.join(",");
    input.setAttribute("aria-label", data.label);
    root.querySelector(".small").textContent = data.hint;
  }
  if (input && !root._ready) {
    root._ready = true;
    const drop = root.querySelector(".drop");
    input.onchange = () => { add(root, [...input.files]); input.value = ""; };
    drop.ondragover = event => { event.preventDefault(); drop.classList.add("over"); };
    drop.ondragleave = () => drop.classList.remove("over");
    drop.ondrop = event => { event.preventDefault(); drop.classList.remove("over"); add(root, [...event.dataTransfer.files]); };
  }
  const listener = () => paint(root);
  ALL.listeners.add(listener);
  paint(root);
  return () => ALL.listeners.delete(listener);
}
const tell = () => ALL.listeners.forEach(f => f());
const size = n => n >= 1e9 ? (n / 1e9).toFixed(2) + " GB" : n >= 1e6 ? (n / 1e6).toFixed(1) + " MB" : Math.max(1, Math.round(n / 1e3)) + " kB";
const spell = s => s >= 3600 ? `${Math.floor(s / 3600)} h ${Math.round(s % 3600 / 60)} min` : s >= 60 ? `${Math.round(s / 60)} min` : `${Math.max(1, Math.round(s))} s`;
const failed = job => ["error", "refused"].includes(job.state);
const shows = {all: () => true, taken: job => !failed(job), refused: failed};
function report(root) {
  if (root._data.shows === "refused") return;
  const mine = ALL.jobs.filter(j => j.group === root._data.group);
  const busy = mine.filter(j => !["done", "error", "refused"].includes(j.state)).length, done = mine.filter(j => j.state === "done").length;
  const now = busy + "/" + done;
  if (root._told === now) return;
  root._told = now;
  root._push("uploads", {busy, done});
}
function add(root, files) {
  const d = root._data;
  for (const file of files) {
    const job = {file, group: d.group, purpose: d.purpose, endpoint: d.endpoint, chunk: d.chunk, token: d.token, sent: 0, state: "waiting", line: ""};
    const ending = file.name.includes(".") ? file.name.slice(file.name.lastIndexOf(".")).toLowerCase() : "";
    const twin = ALL.jobs.find(j => j.group === d.group && j.file.name === file.name && j.file.size === file.size);
    if (twin && !["refused", "done"].includes(twin.state)) { twin.file = file; if (["paused", "error"].includes(twin.state)) run(twin); continue; }
    if (twin) ALL.jobs.splice(ALL.jobs.indexOf(twin), 1);
    if (!d.accept.includes(ending)) refuse(job, `This page takes ${d.accept.join(", ")}; “${ending || "no ending"}” is none of them.`);
    else if (!file.size) refuse(job, "The file is empty. Was the recording or the copy interrupted?");
    else if (file.size > d.max_size) refuse(job, `The file has ${size(file.size)}; this server takes ${size(d.max_size)} at most. Ask for a server folder instead.`);
    ALL.jobs.push(job);
    if (job.state === "waiting") run(job);
  }
  tell();
}
function refuse(job, line) {
  job.state = "refused";
  job.line = line;
}
const mark = job => "castle-upload:" + [job.group, job.file.name, job.file.size, job.file.lastModified].join(":");
function ask(job, method, url, headers, body, onProgress) {
  return new Promise((resolve, reject) => {
    const x = (job.xhr = new XMLHttpRequest());
    x.open(method, url);
    for (const [k, v] of Object.entries({...HEADERS(job.token), ...headers})) x.setRequestHeader(k, v);
    if (onProgress) x.upload.onprogress = e => onProgress(e.loaded);
    x.onload = () => resolve(x);
    x.onerror = () => reject(new Error("connection"));
    x.onabort = () => reject(new Error("aborted"));
    x.send(body ?? null);
  });
}
const text64 = s => btoa(String.fromCharCode(...new TextEncoder().encode(s)));
const WHY = {401: "You were logged out. Log in again, then press Resume.", 403: "This page is too old for uploads. Reload it, then pick the file again.", 404: "The server no longer knows this upload. Pick the file again.",
  413: "The file is larger than this server takes.", 415: "The server does not take files of this type.", 507: "The server's disk is full. Free some space, then press Resume."};
class Stop extends Error {}
class Busy extends Error {}
async function locate(job) {
  const known = job.url ?? localStorage.getItem(mark(job));
  if (known) {
    const head = await ask(job, "HEAD", known, {});
    if (head.status === 200) { job.url = known; job.resumed = +head.getResponseHeader("Upload-Offset") > 0; return +head.getResponseHeader("Upload-Offset"); }
    if ([401, 403].includes(head.status)) throw new Stop(WHY[head.status]);
    localStorage.removeItem(mark(job));
    job.url = null;
  }
  const made = await ask(job, "POST", job.endpoint, {"Upload-Length": String(job.file.size), "Upload-Metadata": `filename ${text64(job.file.name)},filetype ${text64(job.file.type || "application/octet-stream")}` + (job.purpose ? `,purpose ${text64(job.purpose)}` : "")});
  if (made.status !== 201) throw new Stop(made.responseText.slice(0, 300) || WHY[made.status] || `The server answered ${made.status}.`);
  job.url = new URL(made.getResponseHeader("Location"), location.href).pathname;
  localStorage.setItem(mark(job), job.url);
  return 0;
}
async function run(job) {
  job.state = "uploading";
  job.line = "";
  job.began = performance.now();
  job.skip = null;
  tell();
  const turn = (job.turn = (job.turn ?? 0) + 1), going = () => job.state === "uploading" && job.turn === turn;
  for (let failures = 0; going();) {
    try {
      let offset = await locate(job);
      if (job.skip === null) job.skip = offset;
      while (offset < job.file.size && going()) {
        const piece = job.file.slice(offset, offset + job.chunk);
        const answer = await ask(job, "PATCH", job.url, {"Content-Type": "application/offset+octet-stream", "Upload-Offset": String(offset)}, piece,
          loaded => { job.sent = offset + loaded; job.line = ""; tick(); });
        if (answer.status === 423) throw new Busy();
        if (answer.status === 409) throw new Error("offset");
        if (answer.status !== 204) throw new Stop(answer.responseText.slice(0, 300) || WHY[answer.status] || `The server answered ${answer.status}.`);
        offset = +answer.getResponseHeader("Upload-Offset");
        job.sent = offset;
        failures = 0;
      }
      if (offset >= job.file.size && job.turn === turn) { job.state = "done"; job.line = ""; job.sent = job.file.size; localStorage.removeItem(mark(job)); }
    } catch (error) {
      if (!going()) break;
      if (error instanceof Busy) {
        job.line = "Another tab is uploading this file. This one waits and goes on if that one stops.";
        tell();
        await new Promise(r => setTimeout(r, 2000));
        continue;
      }
      if (error instanceof Stop || failures >= WAITS.length) { job.state = "error"; job.line = error instanceof Stop ? error.message : "The connection is lost. Press Resume when it is back; nothing sent so far is lost."; break; }
      job.line = "Connection lost, trying again…";
      tell();
      await new Promise(r => setTimeout(r, WAITS[failures++]));
    }
  }
  tell();
}
let ticking = false;
function tick() {
  if (ticking) return;
  ticking = true;
  setTimeout(() => { ticking = false; tell(); }, 150);
}
function status(job) {
  if (job.line) return job.line;
  const of = `${size(job.sent)} of ${size(job.file.size)}`;
  if (job.state === "done") return `${size(job.file.size)} uploaded.`;
  if (job.state === "paused") return `Paused at ${of}`;
  const seconds = (performance.now() - job.began) / 1000, rate = job.skip === null ? 0 : (job.sent - job.skip) / Math.max(.2, seconds);
  return of + (rate > 0 ? ` · ${size(rate)}/s · ${spell((job.file.size - job.sent) / rate)} left` : "") + (job.resumed ? " · resumed" : "");
}
function paint(root) {
  const list = root.querySelector("ul"), mine = ALL.jobs.filter(j => j.group === root._data.group && shows[root._data.shows](j));
  mine.forEach((job, i) => {
    const node = (job.node ??= make("li", {}, make("span", {className: "name"}), make("span", {className: "acts"}), make("progress", {max: 1}), make("span", {className: "line"})));
    if (list.children[i] !== node) list.insertBefore(node, list.children[i] ?? null);
    node.className = failed(job) ? "error" : job.state;
    node.querySelector(".name").textContent = job.file.name;
    node.querySelector(".line").textContent = status(job);
    const bar = node.querySelector("progress");
    bar.hidden = job.state === "refused";
    bar.value = job.sent / (job.file.size || 1);
    bar.setAttribute("aria-label", `Upload of ${job.file.name}`);
    if (node._acts === job.state) return;
    node._acts = job.state;
    const acts = {uploading: [["Pause", pause], ["Cancel", cancel]], paused: [["Resume", run], ["Cancel", cancel]], error: [["Resume", run], ["Cancel", cancel]], refused: [["Dismiss", forget]], done: [["Dismiss", forget]]}[job.state] ?? [];
    node.querySelector(".acts").replaceChildren(...acts.map(([words, f]) => { const b = make("button", {type: "button", onclick: () => f(job)}, words); b.setAttribute("aria-label", `${words} ${job.file.name}`); return b; }));
    root.querySelector(".live").textContent = `${job.file.name}: ${status(job)}`;
  });
  while (list.children.length > mine.length) list.lastChild.remove();
  list.hidden = !mine.length;
  report(root);
}
function pause(job) {
  job.state = "paused";
  job.xhr?.abort();
  tell();
}
function cancel(job) {
  job.state = "refused";
  job.xhr?.abort();
  if (job.url) ask(job, "DELETE", job.url, {}).catch(() => {});
  localStorage.removeItem(mark(job));
  forget(job);
}
function forget(job) {
  const i = ALL.jobs.indexOf(job);
  if (i >= 0) ALL.jobs.splice(i, 1);
  tell();
}
