/* The gallery. What it shows is in its address: ?folder=…, ?search=…; going back and forward works, and addresses can be shared. */
import { base, count, decodeState, fetchJson, icon, make, parameter, pictureOf, plural, readable, sources, stem } from "./common.js";

const STRETCH = 60;
const LOADS_BY_ITSELF = 5;

const ui = Object.fromEntries(["way", "title", "count", "folders", "pictures", "empty", "more", "search", "words", "collection"]
    .map((id) => [id, document.getElementById(id)]));
let shown = null;   // {folder, words, from, total}
let asking = null;  // AbortController

/* ---- addresses ---- */

const place = (query = location.search) => ({
    folder: parameter("folder", query) ?? "",
    words: readable(parameter("search", query) ?? ""),
});

function address({ folder, words }) {
    const parts = [];
    if (folder !== "") parts.push(`folder=${folder}`);
    if (words !== "") parts.push(`search=${encodeURIComponent(words)}`);
    return `${base}/${parts.length > 0 ? `?${parts.join("&")}` : ""}`;
}

/* ---- entries ---- */

/* The words that were searched for stand out. */
function marked(text, words) {
    const wanted = words.split(/\s+/).filter(Boolean).map((word) => word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
    if (wanted.length === 0) return [text];
    return text.split(new RegExp(`(${wanted.join("|")})`, "giu"))
        .filter((part) => part !== "")
        .map((part, at, all) => (new RegExp(`^(?:${wanted.join("|")})$`, "iu").test(part) && all.length > 0 ? make("mark", {}, part) : part));
}

function image(entry, eager) {
    const picture = make("img", { ...sources(entry), alt: "", class: "waiting", decoding: "async", loading: eager ? "eager" : "lazy" });
    picture.addEventListener("load", () => picture.classList.remove("waiting"));
    picture.addEventListener("error", () => picture.replaceWith(make("span", { class: "cannot" }, "cannot be shown")));
    return picture;
}

const clamped = (ratio) => Math.min(3.2, Math.max(0.5, ratio));

function pictureCard(entry, at, words) {
    const frame = make("span", { class: "frame" });
    if (entry.problem) frame.append(make("span", { class: "cannot" }, entry.problem));
    else frame.append(image(entry, at < 6));
    if (entry.pages > 1) frame.append(make("span", { class: "pages" }, plural(entry.pages, "page")));
    const card = make("li", {}, make("a", { href: `${base}/view/${entry.id}`, title: entry.name },
        frame,
        make("span", { class: "text" },
            make("span", { class: "name" }, ...marked(words ? entry.name : stem(entry.name), words)),
            entry.where ? make("span", { class: "where" }, ...marked(entry.where, words)) : null)));
    if (entry.width) card.style.setProperty("--r", clamped(entry.width / entry.height));
    else frame.querySelector("img")?.addEventListener("load", (event) => card.style.setProperty("--r", clamped(event.target.naturalWidth / event.target.naturalHeight)));
    return card;
}

function folderCard(entry, at) {
    const cover = make("span", { class: "cover" });
    cover.style.display = "block";
    if (entry.cover && !entry.cover.problem) cover.append(image(entry.cover, at < 4));
    else cover.append(icon("M3.5 7.5V18a1.5 1.5 0 0 0 1.5 1.5h14a1.5 1.5 0 0 0 1.5-1.5V9A1.5 1.5 0 0 0 19 7.5h-7L10 5H5a1.5 1.5 0 0 0-1.5 1.5z"));
    const what = make("span", { class: "what" }, contents(entry));
    const card = make("li", {}, make("a", { href: address({ folder: entry.id, words: "" }), title: entry.name },
        cover, make("span", { class: "name" }, entry.name), what));
    if (entry.pictures === undefined) lookInto(entry, card, cover, what);
    return card;
}

function contents(entry) {
    const parts = [];
    if (entry.pictures > 0) parts.push(plural(entry.pictures, "picture"));
    if (entry.folders > 0) parts.push(plural(entry.folders, "folder"));
    return parts.length > 0 ? parts.join(", ") : entry.pictures === 0 ? "empty" : "";
}

/* A folder that is far away says nothing of itself until it is listed, which is done when it comes into sight. */
function lookInto(entry, card, cover, what) {
    const sight = new IntersectionObserver(async (seen) => {
        if (!seen.at(-1).isIntersecting) return;
        sight.disconnect();
        try {
            const listing = await fetchJson(`${base}/gallery.json?folder=${entry.id}&count=1`);
            const first = await fetchJson(`${base}/gallery.json?folder=${entry.id}&count=1&from=${listing.folders}`);
            what.textContent = contents({ folders: listing.folders, pictures: listing.total - listing.folders });
            const picture = first.entries[0] ?? listing.entries[0]?.cover;
            if (picture && !picture.problem) cover.replaceChildren(image(picture, false));
        } catch { /* it stays as it is; a click says why */ }
    }, { rootMargin: "200px" });
    sight.observe(card);
}

/* ---- the page around them ---- */

function head(listing, { folder, words }) {
    const own = listing.path.at(-1)?.name ?? "Pictures";
    const above = words !== "" ? listing.path : listing.path.slice(0, -1);
    const steps = listing.path.length > 0 || words !== "" ? [{ id: "", name: "Pictures" }, ...above] : [];
    ui.way.firstElementChild.replaceChildren(...steps.map((step) =>
        make("li", {}, make("a", { href: address({ folder: step.id, words: "" }) }, step.name))));
    ui.way.hidden = steps.length === 0;
    ui.words.placeholder = folder === "" ? "Search by name" : `Search in ${own}`;
    ui.title.textContent = words !== "" ? `“${words}”` : own;
    document.title = words !== "" ? `${words} · Vitrine` : folder !== "" ? `${own} · Vitrine` : "Vitrine";
    ui.collection.href = `${base}/presentation/3/${folder === "" || words !== "" ? "" : `${folder}/`}collection`;
}

function say(listing, { folder, words }) {
    const parts = [];
    if (words === "") {
        const pictures = listing.total - (listing.folders ?? 0);
        if (listing.folders > 0) parts.push(plural(listing.folders, "folder"));
        if (pictures > 0) parts.push(plural(pictures, "picture"));
        ui.count.replaceChildren(parts.join(", "));
        return;
    }
    if (!listing.complete) {
        ui.count.replaceChildren(`Reading the names… ${count(listing.known)} so far`);
        return;
    }
    const found = listing.more ? `More than ${count(listing.total)} pictures` : plural(listing.total, "picture");
    ui.count.replaceChildren(folder === "" ? found : `${found} in ${listing.path.at(-1)?.name ?? ""} `);
    if (folder !== "") {
        ui.count.append(make("button", { type: "button", onclick: () => go({ folder: "", words }) }, "search everywhere"));
    }
}

function emptiness(listing, { folder, words }) {
    ui.empty.hidden = listing.total > 0 || !listing.complete;
    if (ui.empty.hidden) return;
    if (words !== "") {
        const where = folder === "" ? `None of ${plural(listing.known, "picture")}` : "No picture in this folder";
        ui.empty.replaceChildren(make("h2", {}, "Nothing has that name"),
            make("p", {}, `${where} is called that. Every word is looked for in names and in the names of folders; one word, or a part of one, finds more.`));
    } else if (folder !== "") {
        ui.empty.replaceChildren(make("h2", {}, "An empty folder"), make("p", {}, "There are no pictures in it."));
    } else {
        ui.empty.replaceChildren(make("h2", {}, "No pictures yet"),
            make("p", {}, "Put TIFF, JPEG, PNG or WebP files into the image folder, and they are here at once. ",
                make("code", {}, "vitrine ingest MASTERS --into FOLDER"), " makes pyramids of large ones, which are the quickest to look at."));
    }
}

function problem(error) {
    ui.folders.hidden = true;
    ui.pictures.firstElementChild.replaceChildren();
    ui.more.hidden = true;
    ui.count.textContent = "";
    ui.empty.hidden = false;
    const heading = error.status === 404 ? "There is no such folder" : error.status === 501 ? "No list of pictures" : "That did not work";
    ui.empty.replaceChildren(make("h2", {}, heading), make("p", {}, error.message));
    if (error.status === 501) {
        ui.empty.append(make("p", {}, "Every picture can be opened by its name: ", make("code", {}, `${base}/view/{name}`)));
    } else if (error.status !== 404) {
        ui.empty.append(make("p", {}, make("button", { class: "button", type: "button", onclick: () => load(place()) }, "Try again")));
    }
}

/* ---- loading ---- */

function request({ folder, words }, from) {
    const search = words.trim() === "" ? "" : `&search=${encodeURIComponent(words)}`;
    asking?.abort();
    asking = new AbortController();
    return fetchJson(`${base}/gallery.json?folder=${folder}&from=${from}&count=${STRETCH}${search}`, { signal: asking.signal });
}

function append(listing, words) {
    const folders = listing.entries.filter((entry) => entry.kind === "folder");
    const pictures = listing.entries.filter((entry) => entry.kind === "picture");
    const start = ui.pictures.firstElementChild.childElementCount;
    ui.folders.firstElementChild.append(...folders.map(folderCard));
    ui.pictures.firstElementChild.append(...pictures.map((entry, at) => pictureCard(entry, start + at, words)));
    ui.folders.hidden = ui.folders.firstElementChild.childElementCount === 0;
    shown.from = listing.from + listing.entries.length;
    shown.total = listing.total;
    ui.more.hidden = shown.from >= listing.total;
    ui.more.textContent = `Show more of ${count(listing.total)}`;
}

async function load(where) {
    try {
        const listing = await request(where, 0);
        shown = { ...where, from: 0, total: 0, loads: 0 };
        head(listing, where);
        say(listing, where);
        emptiness(listing, where);
        ui.folders.firstElementChild.replaceChildren();
        ui.pictures.firstElementChild.replaceChildren();
        append(listing, where.words);
        if (!listing.complete) setTimeout(() => { if (shown?.words === where.words) load(where); }, 700);
    } catch (error) {
        if (error.name !== "AbortError") problem(error);
    }
}

async function further(moves) {
    const list = ui.pictures.firstElementChild, before = list.childElementCount;
    ui.more.disabled = true;
    try {
        append(await request(shown, shown.from), shown.words);
        shown.loads++;
        if (moves) list.children[before]?.querySelector("a")?.focus();
    } catch (error) {
        if (error.name !== "AbortError") ui.more.textContent = "That did not work. Try again";
    }
    ui.more.disabled = false;
    sight.unobserve(ui.more);  // it may have stayed in sight, of which nothing would be told
    sight.observe(ui.more);
}

function go(where, keeps = false) {
    history[keeps ? "replaceState" : "pushState"](null, "", address(where));
    if (ui.words.value.trim() !== where.words) ui.words.value = where.words;
    load(where);
}

/* ---- what people do ---- */

let typing = 0;
ui.words.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(() => {
        const words = ui.words.value.trim(), now = place();
        if (words !== now.words) go({ folder: now.folder, words }, now.words !== "");
    }, 220);
});
ui.search.addEventListener("submit", (event) => {
    event.preventDefault();
    clearTimeout(typing);
    const words = ui.words.value.trim(), now = place();
    if (words !== now.words) go({ folder: now.folder, words }, now.words !== "");
});
document.addEventListener("keydown", (event) => {
    const typed = event.target.closest("input, textarea, select");
    if (event.key === "/" && !typed && !event.ctrlKey && !event.metaKey && !event.altKey) {
        event.preventDefault();
        ui.words.focus();
    }
});
addEventListener("popstate", () => {
    const where = place();
    ui.words.value = where.words;
    load(where);
});
ui.more.addEventListener("click", () => further(true));
/* A browser that is busy tells at once that it went out of sight and came back: what is true now comes last. */
const sight = new IntersectionObserver((entries) => {
    if (entries.at(-1).isIntersecting && shown && shown.from > 0 && shown.loads < LOADS_BY_ITSELF && !ui.more.disabled) further(false);
}, { rootMargin: "600px" });
sight.observe(ui.more);
const top = document.querySelector(".top");
addEventListener("scroll", () => top.classList.toggle("away", scrollY > 8), { passive: true });

/* A link that says what is to be looked at leads to the page of that picture. */
async function begin() {
    const encoded = parameter("iiif-content");
    const state = encoded === null ? null : decodeState(encoded);
    const picture = state === null ? null : await pictureOf(state).catch(() => null);
    if (picture) {
        location.replace(`${base}/view/${picture.id}?iiif-content=${encoded}`);
        return;
    }
    const where = place();
    ui.words.value = where.words;
    load(where);
}
begin();
