/* The strip of pages: those of the file where it has several, else the pictures of its folder. */
import { base, fetchJson, make, readable, sources, stem } from "./common.js";

const STRETCH = 80;

/* "a%2Fb.tif;3" → {file: "a%2Fb.tif", page: 3, folder: "a"} */
export function partsOf(id) {
    const found = /^(.+);(\d+)$/.exec(id) ?? /^(.+)%3B(\d+)$/i.exec(id);
    const file = found ? found[1] : id;
    const slash = file.toUpperCase().lastIndexOf("%2F");
    return { file, page: found ? Number(found[2]) : 1, folder: slash < 0 ? "" : file.slice(0, slash), name: slash < 0 ? file : file.slice(slash + 3) };
}

export const pageId = (file, page) => (page === 1 ? file : `${file};${page}`);

/* Two spellings of one identifier are one. */
export function same(one, other) {
    const plain = (id) => {
        const parts = partsOf(id);
        return `${readable(parts.file)};${parts.page}`;
    };
    return plain(one) === plain(other);
}

function pathOf(url) {
    return /\/iiif\/[23]\/(.+)$/.exec(url ?? "")?.[1] ?? null;
}

function ofFile(file, manifest) {
    return manifest.items.map((canvas, at) => ({
        id: pageId(file, at + 1),
        name: Object.values(canvas.label ?? {})[0]?.[0] ?? String(at + 1),
        src: `${base}/iiif/3/${pathOf(canvas.thumbnail?.[0]?.id) ?? `${pageId(file, at + 1)}/full/!200,200/0/default.jpg`}`,
        ratio: canvas.width / canvas.height,
    }));
}

async function ofFolder(id) {
    const { file, folder } = partsOf(id);
    const listing = await fetchJson(`${base}/gallery.json?folder=${folder}&near=${file}&count=${STRETCH}`);
    return listing.entries.filter((entry) => entry.kind === "picture" && !entry.problem).map((entry) => ({
        id: entry.id, name: stem(entry.name), src: sources(entry, "").src, ratio: entry.width ? entry.width / entry.height : 1.4,
    }));
}

/* The neighbours of a picture, in order; [] where there is only it. `manifest` of its file, or null. */
export async function neighboursOf(id, manifest) {
    const { file } = partsOf(id);
    const pages = manifest !== null && manifest.items?.length > 1 ? ofFile(file, manifest) : await ofFolder(id).catch(() => []);
    return pages.length > 1 && pages.some((page) => same(page.id, id)) ? pages : [];
}

/* `open(id)` is called for the one that is chosen. */
export function makeStrip(place, open) {
    const list = place.querySelector("ol");
    let shown = [];

    function item(page) {
        const image = make("img", { src: page.src, alt: "", loading: "lazy", decoding: "async" });
        image.style.aspectRatio = String(Math.min(2.4, Math.max(0.5, page.ratio)));
        return make("li", {}, make("a", {
            href: `${base}/view/${page.id}`, title: page.name,
            onclick: (event) => {
                if (event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
                event.preventDefault();
                open(page.id);
            },
        }, image, make("span", {}, page.name)));
    }

    return {
        pages: () => shown,
        show(pages, id) {
            const unchanged = pages.length === shown.length && pages.every((page, at) => page.id === shown[at].id);
            shown = pages;
            place.hidden = pages.length === 0;
            if (!unchanged) list.replaceChildren(...pages.map(item));
            const at = pages.findIndex((page) => same(page.id, id));
            [...list.children].forEach((child, place_) => {
                if (place_ === at) child.firstElementChild.setAttribute("aria-current", "page");
                else child.firstElementChild.removeAttribute("aria-current");
            });
            const current = list.children[at];
            if (current) list.scrollLeft = current.offsetLeft - (list.clientWidth - current.offsetWidth) / 2;
        },
        /* The page before (-1) or after (1), or null. */
        beside(id, step) {
            const at = shown.findIndex((page) => same(page.id, id));
            return at < 0 ? null : shown[at + step]?.id ?? null;
        },
    };
}
