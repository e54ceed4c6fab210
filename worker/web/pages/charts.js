/* The drawings of the status page: SVG, made once and then changed in place. */
const SVG = "http://www.w3.org/2000/svg";

function draw(name, attributes) {
    const element = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    return element;
}

/* What a number has been lately; the newest on the right. `most` values. */
export function spark(most) {
    const svg = draw("svg", { class: "spark", viewBox: `0 0 ${most - 1} 100`, preserveAspectRatio: "none", "aria-hidden": "true" });
    const area = draw("path", { class: "area" }), line = draw("path", { class: "line" });
    svg.append(area, line);
    return {
        element: svg,
        show(values) {
            const top = Math.max(...values.map((value) => value ?? 0), 1e-9) * 1.08;
            const points = values.map((value, at) => (value === null ? null : [most - values.length + at, 100 - value / top * 100]));
            const known = points.filter((point) => point !== null);
            if (known.length < 2) return;
            const path = known.map(([x, y], at) => `${at === 0 ? "M" : "L"}${x} ${y.toFixed(2)}`).join("");
            line.setAttribute("d", path);
            area.setAttribute("d", `${path}L${known.at(-1)[0]} 100L${known[0][0]} 100z`);
        },
    };
}

const LEAST_MS = 0.1, MOST_MS = 10000;
const place = (ms) => 100 * Math.min(1, Math.max(0, Math.log(Math.max(ms, LEAST_MS) / LEAST_MS) / Math.log(MOST_MS / LEAST_MS)));

/* Median and 99th percentile on a logarithmic rail from 0.1 ms to 10 s. */
export function range() {
    const svg = draw("svg", { class: "range", viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" });
    const span = draw("rect", { class: "span", y: 2, height: 6, x: 0, width: 0 });
    const dot = draw("rect", { class: "dot", y: 0, height: 10, x: 0, width: 1.4 });
    svg.append(draw("rect", { class: "rail", y: 4, height: 2, x: 0, width: 100 }), span, dot);
    return {
        element: svg,
        show(p50, p99) {
            const from = place(p50), to = place(p99);
            span.setAttribute("x", from);
            span.setAttribute("width", Math.max(0, to - from));
            dot.setAttribute("x", Math.max(0, from - 0.7));
            span.style.display = dot.style.display = p99 > 0 ? "" : "none";
        },
    };
}
