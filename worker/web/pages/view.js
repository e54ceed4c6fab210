/* The page of a picture: which one is in its address, /view/{identifier}. */
import { base, decodeState, fetchJson, parameter, pictureOf, readable, stem } from "./common.js";
import { makeAbout, regionLink, texts } from "./about.js";
import { makeStage } from "./stage.js";
import { makeStrip, neighboursOf, partsOf, same } from "./strip.js";

const ui = Object.fromEntries(["back", "title", "subtitle", "toggle", "main", "stage", "controls", "before", "after", "told", "strip", "about"]
    .map((id) => [id, document.getElementById(id)]));
const manifests = new Map();  // by file: most pages share one
let wanted = "";              // identifier of what is shown or, when it has come, will be: steps start there
let turn = 0;                 // of those that are still loading, the last counts

/* ---- telling ---- */

let silence = 0;
function tell(sentence) {
    ui.told.textContent = sentence;
    clearTimeout(silence);
    silence = setTimeout(() => { ui.told.textContent = ""; }, Math.max(3000, 60 * sentence.length));
}

/* ---- the parts ---- */

const stage = makeStage(ui.stage, ui.controls, {
    moved: () => { if (!ui.about.hidden) about.refresh(); },
    changed: (whole) => document.body.classList.toggle("whole", whole),
    told: tell,
});
const strip = makeStrip(ui.strip, (id) => open(id, { pushes: true }));
const about = makeAbout(ui.about, () => toggleAbout(false));

const idHere = () => location.pathname.slice(`${base}/view/`.length);

function toggleAbout(wanted) {
    ui.about.hidden = !wanted;
    ui.toggle.setAttribute("aria-expanded", String(wanted));
    if (wanted) about.refresh();
    else if (ui.about.contains(document.activeElement) || document.activeElement === document.body) ui.toggle.focus();
    try { sessionStorage.setItem("about", wanted ? "1" : ""); } catch { /* it will be shut next time */ }
}

async function manifestOf(file) {
    if (!manifests.has(file)) manifests.set(file, fetchJson(`${base}/presentation/3/${file}/manifest`).catch(() => null));
    return manifests.get(file);
}

/* ---- showing ---- */

function head(id, manifest) {
    const { file, page, folder, name } = partsOf(id);
    const label = texts(manifest?.label).join(", ") || stem(readable(name));
    const pages = manifest?.items?.length ?? 1;
    const own = pages > 1 ? texts(manifest.items[page - 1]?.label).join(", ") : "";
    ui.title.textContent = label;
    const where = folder === "" ? "" : readable(folder).split("/").join(" / ");
    ui.subtitle.textContent = pages > 1 ? `Page ${own !== "" ? own : page} of ${pages}${own !== "" && own !== String(page) ? ` (${page})` : ""}` : where;
    document.title = `${label}${pages > 1 ? `, page ${own || page}` : ""} · Vitrine`;
    ui.back.href = `${base}/${folder === "" ? "" : `?folder=${folder}`}`;
    return pages > 1 ? `${label}, page ${own || page}` : label;
}

function turns() {
    for (const [button, step] of [[ui.before, -1], [ui.after, 1]]) {
        const beside = strip.beside(wanted, step);
        const had = document.activeElement === button;
        button.hidden = beside === null;
        if (had && button.hidden) ui.stage.focus();
    }
}

function addresses(id, info, manifest) {
    const { file, page } = partsOf(id);
    const root = info.id.replace(/\/iiif\/3\/[^/]*$/, "");
    const manifestBase = manifest?.id?.replace(/\/manifest$/, "") ?? `${root}/presentation/3/${file}`;
    const canvas = manifest?.items?.[page - 1]?.id ?? `${manifestBase}/canvas/${page}`;
    return { manifestBase, canvas, here: `${root}/view/${id}` };
}

async function open(id, { region = null, pushes = false } = {}) {
    const own = ++turn;
    const { file, name } = partsOf(id);
    wanted = id;
    if (strip.pages().length > 0) {
        strip.show(strip.pages(), id);
        turns();
    }
    if (pushes) history.pushState(null, "", `${base}/view/${id}`);
    let info;
    try {
        info = await fetchJson(`${base}/iiif/3/${id}/info.json`);
    } catch (error) {
        if (own === turn) {
            head(id, null);
            about.clear();
            stage.cannot(error.status === 404 ? "There is no such picture" : "It cannot be shown", error.message);
        }
        return;
    }
    if (own !== turn) return;
    stage.show(id, info, head(id, null), region);
    const manifest = await manifestOf(file);
    if (own !== turn) return;
    head(id, manifest);
    const { manifestBase, canvas, here } = addresses(id, info, manifest);
    about.show({
        id, name: readable(name), info, manifest, manifestBase, tell,
        view: { seen: stage.seen, rotation: stage.rotation, link: () => regionLink(`${manifestBase}/manifest`, canvas, stage.seen(), here) },
    });
    const known = strip.pages().some((page) => same(page.id, id)) && strip.beside(id, 1) !== null && strip.beside(id, -1) !== null;
    const pages = known ? strip.pages() : await neighboursOf(id, manifest);
    if (own !== turn) return;
    strip.show(pages, id);
    turns();
}

function step(by) {
    const beside = strip.beside(wanted, by);
    if (beside !== null) open(beside, { pushes: true });
}

/* ---- what people do ---- */

ui.toggle.addEventListener("click", () => toggleAbout(ui.about.hidden));
ui.before.addEventListener("click", () => step(-1));
ui.after.addEventListener("click", () => step(1));
document.addEventListener("keydown", (event) => {
    if (event.target.closest("input, select, textarea") || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "PageDown") step(1);
    else if (event.key === "PageUp") step(-1);
    else if (event.key === "i") toggleAbout(ui.about.hidden);
    else if (event.key === "f") stage.press("screen");
    else if (event.key === "r") stage.press("right");
    else if (event.key === "R") stage.press("left");
    else if (event.key === "Escape" && document.body.classList.contains("whole")) document.body.classList.remove("whole");
    else if (event.key === "Escape" && !ui.about.hidden) toggleAbout(false);
    else return;
    event.preventDefault();
});
addEventListener("popstate", () => open(idHere()));

/* ?iiif-content= says where to look; what it means may be another picture of ours, too. */
async function begin() {
    const encoded = parameter("iiif-content"), id = idHere();
    const state = encoded === null ? null : decodeState(encoded);
    let region = state?.region ?? null;
    if (state !== null) {
        const picture = await pictureOf(state).catch(() => null);
        if (picture === null) {
            region = null;
            tell("The link does not say which part of this picture is meant.");
        } else if (!same(picture.id, id)) {
            history.replaceState(null, "", `${base}/view/${picture.id}`);
            open(picture.id, { region });
            return;
        }
    }
    open(id, { region });
}

let remembered = "";
try { remembered = sessionStorage.getItem("about") ?? ""; } catch { /* nothing is remembered */ }
if (remembered === "1" && matchMedia("(min-width: 56rem)").matches) toggleAbout(true);
begin();
