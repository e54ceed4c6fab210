/* What the public pages share. Text always becomes text: nothing here or elsewhere makes HTML of strings. */

export const base = document.documentElement.dataset.base;

/* An element: properties by name, `class`, `on…` handlers, other attributes; null leaves one out. Children are nodes or text. */
export function make(name, attributes = {}, ...children) {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) {
        if (value === null || value === undefined || value === false) continue;
        if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
        else element.setAttribute(key, value === true ? "" : value);
    }
    element.append(...children.filter((child) => child !== null && child !== undefined));
    return element;
}

const SVG = "http://www.w3.org/2000/svg";

/* A drawing of lines on 24 × 24. */
export function icon(path) {
    const svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("viewBox", "0 0 24 24");
    svg.setAttribute("aria-hidden", "true");
    const line = document.createElementNS(SVG, "path");
    line.setAttribute("d", path);
    svg.append(line);
    return svg;
}

/* A parameter of the query as it was written: identifiers may hold bytes that are no UTF-8, which URLSearchParams would lose. */
export function parameter(name, query = location.search) {
    for (const pair of query.replace(/^\?/, "").split("&")) {
        const at = pair.indexOf("=");
        if (at > 0 && pair.slice(0, at) === name) return pair.slice(at + 1);
    }
    return null;
}

/* Percent-encoded text as people read it. */
export function readable(encoded) {
    try {
        return decodeURIComponent(encoded.replace(/\+/g, "%20"));
    } catch {
        return unescape(encoded);  // bytes that are no UTF-8 count as Latin-1
    }
}

/* Where a picture of a listing is to be had small: attributes of an img. Its own sizes cost the server least. */
export function sources(entry, widths = "(min-width: 110rem) 24vw, (min-width: 40rem) 33vw, 60vw") {
    const of = (size) => `${base}/iiif/3/${entry.id}/full/${size}/0/default.jpg`;
    const sizes = entry.sizes ?? [];
    if (sizes.length === 0) return { src: of("!480,480") };
    const src = of(sizes[0].join(","));
    if (sizes.length === 1 || widths === "") return { src };
    return { srcset: sizes.map((size) => `${of(size.join(","))} ${size[0]}w`).join(", "), sizes: `auto, ${widths}`, src };
}

/* The name without its extension. */
export function stem(name) {
    return name.replace(/(.)\.[A-Za-z]{2,5}$/, "$1");
}

export async function fetchJson(url, options = {}) {
    const reply = await fetch(url, { headers: { Accept: "application/json" }, ...options });
    if (!reply.ok) {
        const text = await reply.text();
        const error = new Error(text.length < 400 ? text.trim() : `the server answered ${reply.status}`);
        error.status = reply.status;
        throw error;
    }
    return reply.json();
}

export const count = (number) => number.toLocaleString("en");
export const plural = (number, one, many = `${one}s`) => `${count(number)} ${number === 1 ? one : many}`;
export const calm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

/* ---- content states: what is to be looked at, as IIIF says it ---- */

/* Content State 1.0 §6: base64url of the percent-encoded text. */
export function encodeState(state) {
    return btoa(encodeURIComponent(JSON.stringify(state))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
}

function parsed(text) {
    try {
        return JSON.parse(text);
    } catch {
        return null;
    }
}

function decoded(text) {
    try {
        return decodeURIComponent(atob(text.replace(/-/g, "+").replace(/_/g, "/")));
    } catch {
        return "";
    }
}

/* {canvas, manifest, region}, each may be null; or null when it is no content state. `encoded` as it stands in the query. */
export function decodeState(encoded) {
    const text = readable(encoded);
    let state = parsed(text);
    if (state === null && !/^https?:/.test(text)) state = parsed(decoded(text));
    if (state === null && /^https?:/.test(text)) state = { id: text, type: /\/canvas\//.test(text) ? "Canvas" : "Manifest" };
    return state === null || typeof state !== "object" ? null : meant(state);
}

const first = (value) => (Array.isArray(value) ? value[0] : value);
const idOf = (value) => (typeof value === "string" ? value : value?.id ?? value?.["@id"] ?? null);

function meant(state) {
    let target = first(state.type === "Annotation" || state.target !== undefined ? state.target : state);
    let region = null;
    if (target?.type === "SpecificResource" || target?.selector !== undefined) {
        const selector = first(target.selector);
        region = regionOf(selector?.value ?? selector?.region ?? "");
        target = first(target.source);
    }
    if (typeof target === "string") target = { id: target, type: /\/canvas\//.test(target) ? "Canvas" : "Manifest" };
    const id = idOf(target);
    if (id === null) return null;
    const [whole, fragment = ""] = id.split("#");
    region = region ?? regionOf(fragment);
    if (target.type === "Manifest" || target.type === "sc:Manifest") return { canvas: null, manifest: whole, region };
    return { canvas: whole, manifest: idOf(first(target.partOf ?? target.within)), region };
}

function regionOf(text) {
    const found = /^(?:xywh=)?(?:pixel:)?(\d+(?:\.\d+)?),(\d+(?:\.\d+)?),(\d+(?:\.\d+)?),(\d+(?:\.\d+)?)$/.exec(text);
    if (!found) return null;
    const [x, y, width, height] = found.slice(1).map(Number);
    return width > 0 && height > 0 ? { x, y, width, height } : null;
}

/* The identifier of the picture that a content state of this server means, and where; null: none of ours. */
export async function pictureOf(state) {
    const address = state.manifest ?? state.canvas?.replace(/\/canvas\/[^/]*$/, "/manifest");
    const place = /\/presentation\/[23]\/([^/]+)\/(?:manifest|collection)/.exec(address ?? "");
    if (!place) return null;
    const number = Number(/\/canvas\/(\d+)$/.exec(state.canvas ?? "")?.[1] ?? 1);
    const manifest = await fetchJson(`${base}/presentation/3/${place[1]}/manifest`);
    const canvas = manifest.items?.[number - 1];
    const service = canvas?.items?.[0]?.items?.[0]?.body?.service;
    const found = /\/iiif\/[23]\/([^/]+)$/.exec(idOf(first(service)) ?? "");
    return found ? { id: found[1], region: state.region } : null;
}
