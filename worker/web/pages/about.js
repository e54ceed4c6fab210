/* The panel beside the picture: what is known of it, downloads, links. */
import { base, encodeState, icon, make, stem } from "./common.js";

const FORMATS = { jpg: "JPEG", png: "PNG", webp: "WebP", tif: "TIFF", avif: "AVIF" };

/* ---- what is said about it ---- */

/* Values of a language map, in the reader's language where there is one. */
export function texts(map) {
    if (!map) return [];
    for (const language of navigator.languages) {
        const found = map[language] ?? map[language.split("-")[0]];
        if (found) return found;
    }
    return map.none ?? map.en ?? Object.values(map)[0] ?? [];
}

/* Values may hold a little HTML (Presentation 3.0 §4.1). It is read apart from this page, and only text and safe links leave it. */
function plain(text) {
    if (!/^\s*<[\s\S]*>\s*$/.test(text)) return linked(text);
    const nodes = [];
    const walk = (node) => {
        for (const child of node.childNodes) {
            if (child.nodeType === Node.TEXT_NODE) nodes.push(child.textContent);
            else if (child.nodeName === "A" && /^https?:/i.test(child.getAttribute("href") ?? "")) nodes.push(outward(child.getAttribute("href"), child.textContent));
            else if (child.nodeName === "BR") nodes.push(" ");
            else if (!["SCRIPT", "STYLE"].includes(child.nodeName)) walk(child);
        }
    };
    walk(new DOMParser().parseFromString(text, "text/html").body);
    return nodes;
}

function outward(href, text) {
    return make("a", { href, rel: "noopener nofollow" }, text);
}

function linked(text) {
    return /^https?:\/\/\S+$/.test(text) ? [outward(text, text)] : [text];
}

function entry(label, values) {
    return values.length === 0 ? [] : [make("div", {}, make("dt", {}, label), ...values.map((value) => make("dd", {}, ...plain(value))))];
}

function said(manifest, info, name) {
    const parts = [make("h2", {}, "About")];
    for (const text of texts(manifest?.summary)) parts.push(make("p", { class: "summary" }, ...plain(text)));
    const list = make("dl");
    for (const one of manifest?.metadata ?? []) list.append(...entry(texts(one.label).join(", "), texts(one.value)));
    const required = manifest?.requiredStatement;
    if (required) list.append(...entry(texts(required.label).join(", "), texts(required.value)));
    if (manifest?.rights) list.append(...entry("Rights", [manifest.rights.replace(/^http:/, "https:")]));
    for (const page of manifest?.homepage ?? []) {
        if (/^https?:/i.test(page.id ?? "")) list.append(make("div", {}, make("dt", {}, "More"), make("dd", {}, outward(page.id, texts(page.label).join(" ") || page.id))));
    }
    list.append(...entry("Size", [`${info.width.toLocaleString("en")} × ${info.height.toLocaleString("en")} pixels (${megapixels(info)})`]), ...entry("File", [name]));
    parts.push(list);
    return parts;
}

function megapixels(info) {
    const millions = info.width * info.height / 1e6;
    return `${millions < 10 ? millions.toFixed(1) : Math.round(millions)} megapixels`;
}

/* ---- downloads ---- */

/* The largest that the server makes in one piece. */
function largest(info) {
    const most = { width: info.maxWidth ?? Infinity, height: info.maxHeight ?? info.maxWidth ?? Infinity, area: info.maxArea ?? Infinity };
    const shrink = Math.min(1, most.width / info.width, most.height / info.height, Math.sqrt(most.area / (info.width * info.height)));
    return { width: Math.floor(info.width * shrink), height: Math.floor(info.height * shrink), name: "max" };
}

/* Sizes that the picture has, about 500, 1,000, 2,000 and 4,000 pixels wide or high, and the largest. */
function sizesOf(info) {
    const edge = (size) => Math.max(size.width, size.height);
    const all = largest(info), own = (info.sizes ?? []).filter((size) => edge(size) < 0.75 * edge(all)).sort((a, b) => edge(a) - edge(b));
    const chosen = [];
    for (const [wanted, label] of [[500, "Small"], [1000, "Medium"], [2000, "Large"], [4000, "Very large"]]) {
        if (wanted > 0.75 * edge(all)) break;
        const fit = own.find((size) => edge(size) >= 0.72 * wanted && edge(size) < 1.45 * wanted);
        const scale = wanted / edge(info);
        const size = fit ?? { width: Math.max(1, Math.round(info.width * scale)), height: Math.max(1, Math.round(info.height * scale)) };
        chosen.push({ label, width: size.width, height: size.height, name: `${size.width},${size.height}` });
    }
    chosen.push({ label: all.width === info.width ? "Full size" : "Largest", ...all });
    return chosen;
}

function downloads(id, info, name, view) {
    const formats = make("select", { "aria-label": "Format of downloads" });
    const offered = ["jpg", "png", ...(info.extraFormats ?? [])].filter((format) => FORMATS[format]);
    formats.append(...[...new Set(offered)].map((format) => make("option", { value: format }, FORMATS[format])));
    const links = make("div");
    const fill = () => {
        const format = formats.value;
        const row = (label, size, region, detail) => make("div", { class: "row" }, make("a", {
            href: `${base}/iiif/3/${id}/${region}/${size}/${view.rotation()}/default.${format}`,
            download: `${stem(name)}${region === "full" ? "" : " detail"} ${detail.replace(" × ", "x")}.${format}`,
        }, make("span", {}, label), make("small", {}, detail)));
        const rows = sizesOf(info).map((size) => row(size.label, size.name, "full", `${size.width} × ${size.height}`));
        const part = view.seen();
        if (part) {
            const all = largest({ ...info, width: part.width, height: part.height });
            rows.push(row("What is seen now", "max", [part.x, part.y, part.width, part.height].join(","), `${all.width} × ${all.height}`));
        }
        links.replaceChildren(...rows);
    };
    formats.addEventListener("change", fill);
    fill();
    return { parts: [make("h2", {}, "Download"), make("div", { class: "choice" }, make("span", {}, "Format"), formats), links], fill };
}

/* ---- links ---- */

async function copy(text) {
    try {
        await navigator.clipboard.writeText(text);
        return true;
    } catch {  // no secure context: the old way
        const field = make("textarea", { class: "unseen", "aria-hidden": "true" });
        field.value = text;
        document.body.append(field);
        field.select();
        const done = document.execCommand("copy");
        field.remove();
        return done;
    }
}

function link(label, text, tell) {
    return make("div", { class: "link" }, make("b", {}, label), make("code", { title: text }, text),
        make("button", {
            class: "button small", type: "button", "aria-label": `Copy: ${label}`,
            onclick: async () => tell(await copy(text) ? `Copied: ${label}` : `Your browser does not let pages copy. The address: ${text}`),
        }, "Copy"));
}

/* The address that shows what is seen now: a content state, which other IIIF viewers understand as well. */
export function regionLink(manifestId, canvasId, region, here) {
    const state = {
        id: region ? `${canvasId}#xywh=${[region.x, region.y, region.width, region.height].join(",")}` : canvasId,
        type: "Canvas",
        partOf: [{ id: manifestId, type: "Manifest" }],
    };
    return `${here}?iiif-content=${encodeState(state)}`;
}

export function makeAbout(place, shut) {
    let refill = () => {};
    return {
        /* `view` has seen(), rotation(), link(); `tell` says a sentence. */
        show({ id, name, info, manifest, manifestBase, view, tell }) {
            const files = downloads(id, info, name, view);
            const share = make("div", {},
                make("p", { class: "hint" }, "An address that opens the picture where you are looking now."),
                make("button", {
                    id: "region", class: "button small", type: "button",
                    onclick: async () => {
                        const text = view.link();
                        tell(await copy(text) ? "Copied: the link to what is seen now" : text);
                    },
                }, "Copy link to this view"));
            place.replaceChildren(
                make("button", { class: "shut", type: "button", "aria-label": "Close", onclick: shut }, icon("M6 6l12 12M18 6 6 18")),
                ...said(manifest, info, name), ...files.parts,
                make("h2", {}, "Share"), share,
                make("h2", {}, "IIIF"),
                make("div", {},
                    link("Image (info.json)", `${info.id}/info.json`, tell),
                    link("Manifest 3.0", `${manifestBase}/manifest`, tell),
                    link("Manifest 2.1", `${manifestBase.replace("/presentation/3/", "/presentation/2/")}/manifest`, tell),
                    link("Whole picture", `${info.id}/full/max/0/default.jpg`, tell)),
                make("p", { class: "hint" }, "Shown by ", make("a", { href: `${document.documentElement.dataset.assets}/openseadragon-licence.txt` }, "OpenSeadragon"), "."));
            refill = files.fill;
        },
        refresh: () => refill(),
        clear() {
            place.replaceChildren();
            refill = () => {};
        },
    };
}
