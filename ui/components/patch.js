// A picture divided into rows x columns cells; a click or the arrow keys choose one.
const chosen = new WeakMap();

export default function ({ data, parentElement, setStateValue }) {
    const box = parentElement.querySelector(".patch");
    const picture = box.querySelector("img"), mark = box.querySelector("i");
    if (picture.src !== data.src) picture.src = data.src;
    picture.alt = data.alt;
    box.setAttribute("aria-label", data.label);
    const show = ([row, column]) => {
        mark.style.cssText = `left:${100 * column / data.columns}%;top:${100 * row / data.rows}%;` +
            `width:${100 / data.columns}%;height:${100 / data.rows}%`;
    };
    const choose = (row, column) => {
        const cell = [Math.max(0, Math.min(data.rows - 1, row)), Math.max(0, Math.min(data.columns - 1, column))];
        chosen.set(box, cell);
        show(cell);
        setStateValue("cell", cell);
    };
    show(chosen.get(box) ?? data.cell);
    box.onclick = event => {
        const place = picture.getBoundingClientRect();
        choose(Math.floor((event.clientY - place.top) / place.height * data.rows),
            Math.floor((event.clientX - place.left) / place.width * data.columns));
    };
    box.onkeydown = event => {
        const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
        if (!step) return;
        event.preventDefault();
        const [row, column] = chosen.get(box) ?? data.cell;
        choose(row + step[0], column + step[1]);
    };
}
