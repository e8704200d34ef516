// Shared by the Inspector's canvases: colours of codes, and of a value from 0 to 250.
const NAMED = ["#0f766e", "#c2410c", "#4f46e5", "#a16207", "#be185d", "#0284c7", "#65a30d", "#7c3aed", "#dc2626", "#0d9488", "#ca8a04", "#db2777"];
// Dark violet would vanish in the dark theme: the ramp begins lighter.
const RAMP = [[124, 77, 178], [75, 110, 180], [33, 145, 140], [94, 201, 98], [253, 231, 37]];
function rgbOf(hex) { return [1, 3, 5].map(i => parseInt(hex.slice(i, i + 2), 16)); }
function codeColour(code, ramp) {
  if (code === 255) return [128, 128, 128];
  if (!ramp) {
    const [r, g, b] = rgbOf(NAMED[code % NAMED.length]), light = Math.floor(code / NAMED.length) % 4 * .22;
    return [r, g, b].map(v => Math.round(v + (255 - v) * light));
  }
  const at = Math.min(3.999, code / 250 * 4), i = Math.floor(at), t = at - i;
  return RAMP[i].map((v, k) => Math.round(v + (RAMP[i + 1][k] - v) * t));
}
const css = c => `rgb(${c[0]} ${c[1]} ${c[2]})`;
async function bytesOf(url) {
  const answer = await fetch(url);
  if (!answer.ok) throw new Error(await answer.text());
  return answer.arrayBuffer();
}
