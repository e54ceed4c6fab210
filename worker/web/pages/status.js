/* The status page: asks for /status again and again and shows whatever sections it has. Rates are differences between two answers. */
import { make } from "./common.js";
import { range, spark } from "./charts.js";

const EVERY_MS = 2000;
const HISTORY = 90;  // three minutes

const ui = Object.fromEntries(["state", "since", "pause", "dials", "classes", "stages", "tiers", "workers", "quarantine", "errors", "rest"]
    .map((id) => [id, document.getElementById(id)]));

/* ---- numbers ---- */

const whole = (number) => Math.round(number).toLocaleString("en");

function bytes(number) {
    const units = ["B", "kB", "MB", "GB", "TB"];
    let unit = 0;
    for (; number >= 999.5 && unit < units.length - 1; unit++) number /= 1000;
    return [unit === 0 || number >= 99.5 ? String(Math.round(number)) : number.toFixed(number >= 9.95 ? 0 : 1), units[unit]];
}

function rate(number) {
    return number >= 99.5 ? whole(number) : number >= 9.95 ? number.toFixed(0) : number.toFixed(1);
}

function time(ms) {
    if (!(ms > 0)) return "–";
    if (ms >= 9950) return `${(ms / 1000).toFixed(0)} s`;
    if (ms >= 995) return `${(ms / 1000).toFixed(1)} s`;
    return ms >= 9.95 ? `${ms.toFixed(0)} ms` : ms >= 0.095 ? `${ms.toFixed(1)} ms` : "< 0.1 ms";
}

function age(seconds) {
    if (seconds < 120) return `${Math.round(seconds)} s`;
    if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
    if (seconds < 172800) return `${Math.round(seconds / 3600)} h`;
    return `${Math.round(seconds / 86400)} days`;
}

const percent = (part, all) => (all > 0 ? `${(100 * part / all).toFixed(part === all || part === 0 ? 0 : 1)} %` : "–");
const total = (map, key) => Object.values(map ?? {}).reduce((sum, one) => sum + (one[key] ?? 0), 0);
const spoken = (name) => name.replace(/_/g, " ").replace(/^./, (c) => c.toUpperCase());

/* ---- what was ---- */

const history = [];  // {at, status}

/* How much a number grew per second, between the last answers `steps` apart; null: not known. */
function grew(read, steps = 1) {
    const now = history.at(-1), before = history.at(-1 - steps);
    if (!before || now.status.uptime_s < before.status.uptime_s) return null;
    const seconds = (now.at - before.at) / 1000, growth = (read(now.status) ?? 0) - (read(before.status) ?? 0);
    return seconds > 0 && growth >= 0 ? growth / seconds : null;
}

/* The same for each two answers that followed each other. */
function course(read) {
    return history.map((one, at) => {
        if (at === 0) return null;
        const before = history[at - 1], growth = (read(one.status) ?? 0) - (read(before.status) ?? 0);
        return growth < 0 ? null : growth * 1000 / (one.at - before.at);
    });
}

/* ---- dials ---- */

const dials = new Map();

function dial(name, { big, unit = "", note = "", values = null, kind = "" }) {
    if (!dials.has(name)) {
        const parts = { number: make("span"), unit: make("small"), note: make("p", { class: "note" }), spark: values === null ? null : spark(HISTORY) };
        parts.card = make("article", { class: "dial" }, make("h2", {}, name), make("p", { class: "big" }, parts.number, parts.unit), parts.spark ? parts.spark.element : parts.note);
        ui.dials.append(parts.card);
        dials.set(name, parts);
    }
    const parts = dials.get(name);
    parts.number.textContent = big;
    parts.unit.textContent = unit;
    parts.note.textContent = note;
    parts.card.className = `dial ${kind}`;
    parts.spark?.show(values);
}

const requestsOf = (status) => (status.classes ? total(status.classes, "requests") : total(status.workers, "requests"));

function hits(status) {
    const cache = status.derivatives;
    if (!cache) return null;
    const found = cache.memory_hits + cache.file_hits + (cache.shared ?? 0);
    return { memory: cache.memory_hits, file: cache.file_hits, shared: cache.shared ?? 0, misses: cache.misses, found, all: found + cache.misses };
}

function showDials(status) {
    const perSecond = grew(requestsOf, Math.min(5, history.length - 1)) ?? total(status.classes, "per_s");
    dial("Requests", { big: rate(perSecond), unit: "per second", values: course(requestsOf) });
    const [sent, unit] = bytes(grew((one) => one.bytes?.sent, Math.min(5, history.length - 1)) ?? 0);
    if (status.bytes) dial("Sent", { big: sent, unit: `${unit}/s`, values: course((one) => one.bytes?.sent) });
    const cache = hits(status);
    if (cache) dial("Found in the cache", { big: percent(cache.found, cache.all), note: `${whole(cache.found)} of ${whole(cache.all)} images since the start` });
    const open = status.connections?.open ?? total(status.workers, "connections");
    dial("Connections", { big: whole(open), note: status.connections ? `of ${whole(status.connections.most)}; ${whole(status.connections.refused)} refused` : "", kind: status.connections && open > 0.9 * status.connections.most ? "warn" : "" });
    const queued = status.queue?.jobs ?? total(status.workers, "queued");
    dial("Waiting for a render", { big: whole(queued), note: status.queue ? `${bytes(status.queue.memory_bytes).join(" ")} of pixels in memory` : "", kind: queued > 50 ? "warn" : "" });
    const crashes = status.crashes + (status.hangs ?? 0);
    dial("Crashes", { big: whole(crashes), note: crashes === 0 ? "none since the start" : `${whole(status.hangs ?? 0)} of them hung; ${whole(status.recovered_answers ?? status.connections?.recovered ?? 0)} half-sent answers went on`, kind: crashes > 0 ? "warn" : "" });
}

/* ---- tables of times ---- */

const rows = new Map();

function timeTable(place, columns) {
    if (!place.querySelector("table")) {
        place.append(make("div", { class: "scroll" }, make("table", {}, make("thead", {}, make("tr", {}, ...columns.map((column) => make("th", { scope: "col" }, column)))), make("tbody"))));
    }
    return place.querySelector("tbody");
}

function timeRow(body, name, cells, one, isStill) {
    const key = `${body.closest("section").id} ${name}`;
    if (!rows.has(key)) {
        const chart = range(), row = make("tr", {}, make("td", {}, spoken(name)), ...cells.map(() => make("td")), make("td"), make("td"), make("td", { class: "chart" }, chart.element));
        body.append(row);
        rows.set(key, { row, chart });
    }
    const { row, chart } = rows.get(key);
    [...cells, time(one.p50_ms), time(one.p99_ms)].forEach((cell, at) => {
        const [text, kind] = Array.isArray(cell) ? cell : [cell, ""];
        row.children[at + 1].textContent = text;
        row.children[at + 1].className = kind;
    });
    row.className = isStill ? "still" : "";
    chart.show(one.p50_ms, one.p99_ms);
}

function lately(place, seconds) {
    const heading = place.querySelector("h2");
    if (!heading.querySelector("small")) heading.append(make("small"));
    heading.querySelector("small").textContent = seconds === undefined ? "" : `the last ${age(seconds)}`;
}

function showClasses(status) {
    ui.classes.hidden = status.classes === undefined;
    if (ui.classes.hidden) return;
    lately(ui.classes, status.lately_s);
    const body = timeTable(ui.classes, ["", "all", "errors", "per s", "median", "99 %", "0.1 ms … 10 s"]);
    for (const [name, one] of Object.entries(status.classes)) {
        timeRow(body, name, [whole(one.requests), [whole(one.errors), one.errors > 0 ? "bad" : ""], rate(one.per_s)], one, one.per_s === 0);
    }
}

function showStages(status) {
    ui.stages.hidden = status.stages === undefined;
    if (ui.stages.hidden) return;
    lately(ui.stages, status.lately_s);
    const body = timeTable(ui.stages, ["", "per s", "median", "99 %", "0.1 ms … 10 s"]);
    for (const [name, one] of Object.entries(status.stages)) timeRow(body, name, [rate(one.per_s)], one, one.per_s === 0);
}

/* ---- caches ---- */

/* `parts` are shares of 1; the rest stays empty. */
function meter(name, says, parts, legend, kind = "") {
    const bar = make("div", { class: `bar ${kind}`, role: "img", "aria-label": `${name}: ${says}` });
    for (const part of parts) {
        const piece = make("i");
        piece.style.flex = `0 0 ${(100 * part).toFixed(2)}%`;
        bar.append(piece);
    }
    const block = make("div", { class: "meter" }, make("div", { class: "says" }, make("span", {}, name), make("span", {}, says)), bar);
    if (legend.length > 0) block.append(make("p", { class: "legend" }, ...legend.map(([word, value], at) => make("span", {}, make("i", { class: at < parts.length ? "" : "none" }), `${word} `, make("b", {}, value)))));
    return block;
}

function showTiers(status) {
    const blocks = [], cache = hits(status), share = (part, all) => (all > 0 ? part / all : 0);
    if (cache) {
        blocks.push(meter("Images", `${percent(cache.found, cache.all)} found`,
            [share(cache.memory, cache.all), share(cache.file, cache.all), share(cache.shared, cache.all)],
            [["memory", whole(cache.memory)], ["files", whole(cache.file)], ["another's render", whole(cache.shared)], ["rendered", whole(cache.misses)]]));
    }
    for (const [name, one] of Object.entries(status.tiers ?? {})) {
        if (cache && ["memory", "file", "render"].includes(name)) continue;
        blocks.push(meter(spoken(name), `${percent(one.hits, one.lookups)} found`, [share(one.hits, one.lookups)], [["found", whole(one.hits)], ["not", whole(one.lookups - one.hits)]]));
    }
    if (!status.tiers && status.index) {
        const all = status.index.hits + status.index.misses;
        blocks.push(meter("Index", `${percent(status.index.hits, all)} found`, [share(status.index.hits, all)], [["found", whole(status.index.hits)], ["not", whole(status.index.misses)]]));
    }
    const files = status.derivatives;
    if (files?.file_bytes_limit > 0) {
        const full = share(files.file_bytes, files.file_bytes_limit);
        blocks.push(meter("Files on disk", `${bytes(files.file_bytes).join(" ")} of ${bytes(files.file_bytes_limit).join(" ")}`, [full], [["files", whole(files.files)], ["made room for", whole(files.evicted)], ["refused", whole(files.refused)]].map(([word, value]) => [word, value]), ""));
        blocks.at(-1).querySelectorAll(".legend i").forEach((mark) => mark.remove());
    }
    ui.tiers.hidden = blocks.length === 0;
    ui.tiers.replaceChildren(ui.tiers.querySelector("h2"), ...blocks);
}

/* ---- workers ---- */

const LAMPS = { serving: "good", starting: "warn", draining: "warn" };

function workerCard(one) {
    const figure = (name, value, kind = "") => make("div", {}, make("dt", {}, name), make("dd", { class: kind }, value));
    const figures = [];
    if (one.age_s !== undefined) figures.push(figure("Age", age(one.age_s)));
    figures.push(figure("Requests", whole(one.requests)), figure("Renders", whole(one.renders)));
    if (one.memory_bytes !== undefined) figures.push(figure("Memory", bytes(one.memory_bytes).join(" ")));
    figures.push(figure("Connections", whole(one.connections)), figure("Waiting", whole(one.queued), one.queued > 20 ? "warn" : ""));
    const crashes = one.crashes ?? one.generation - 1;
    figures.push(figure(one.crashes === undefined ? "Replaced" : "Crashes", whole(crashes), crashes > 0 && one.crashes !== undefined ? "bad" : ""));
    figures.push(figure("Last beat", time(Math.max(one.beat_age_ms, 0.1)), one.beat_age_ms > 3000 ? "warn" : ""));
    return make("li", { class: "worker" },
        make("h3", { class: LAMPS[one.state] ?? "bad" }, make("span", { class: "lamp" }), `Worker ${one.slot}`, make("span", { class: "unseen" }, `, ${one.state}`), make("small", {}, `${one.state === "serving" ? "" : `${one.state}, `}pid ${one.pid}`)),
        make("dl", {}, ...figures));
}

function showWorkers(status) {
    const serving = status.workers.filter((one) => one.state === "serving").length;
    lately(ui.workers);
    ui.workers.querySelector("small").textContent = `${serving} of ${status.workers.length} serving`;
    const list = make("ul", {}, ...status.workers.map(workerCard));
    ui.workers.querySelector("ul")?.remove();
    ui.workers.append(list);
}

/* ---- quarantine and troubles ---- */

function showQuarantine(status) {
    const cases = status.quarantine ?? [];
    ui.quarantine.querySelectorAll(":scope > :not(h2)").forEach((old) => old.remove());
    if (cases.length === 0) {
        ui.quarantine.append(make("p", { class: "nothing" }, "Empty: no image has killed a worker lately."));
        return;
    }
    ui.quarantine.append(make("div", { class: "scroll" }, make("table", {},
        make("thead", {}, make("tr", {}, ...["Image", "Signal", "Strikes", "Left"].map((name) => make("th", { scope: "col" }, name)))),
        make("tbody", {}, ...cases.map((one) => make("tr", {}, make("td", {}, named(one.identifier)), make("td", {}, String(one.signal)), make("td", {}, String(one.strikes)), make("td", {}, age(one.seconds_left))))))));
}

function named(identifier) {
    try {
        return decodeURIComponent(identifier);
    } catch {
        return identifier;
    }
}

let shownErrors = "";

/* Left alone while nothing is new, so that it can be read and marked. */
function showErrors(status) {
    const errors = status.errors ?? [], key = JSON.stringify(errors);
    ui.errors.hidden = status.errors === undefined;
    if (key === shownErrors && ui.errors.children.length > 1) return;
    shownErrors = key;
    ui.errors.querySelectorAll(":scope > :not(h2)").forEach((old) => old.remove());
    lately(ui.errors);
    ui.errors.querySelector("small").textContent = status.errors_total > errors.length ? `the last ${errors.length} of ${whole(status.errors_total)}` : "";
    if (errors.length === 0) {
        ui.errors.append(make("p", { class: "nothing" }, "None since the start."));
        return;
    }
    ui.errors.append(make("ol", { tabindex: "0", "aria-label": "Recent troubles, the newest first" }, ...errors.map((one) => make("li", {},
        make("time", { datetime: one.time, title: one.time }, new Date(one.time).toLocaleTimeString([], { hour12: false })),
        make("span", { class: `level ${one.level}` }, one.level),
        make("span", { class: "text" }, one.text, one.id ? make("small", {}, one.id) : null)))));
}

/* ---- all else ---- */

const KNOWN = new Set(["version", "uptime_s", "draining", "crashes", "hangs", "connections", "recovered_answers", "queue", "lately_s", "classes", "stages",
    "bytes", "tiers", "index", "derivatives", "quarantine", "workers", "errors", "errors_total", "master_bytes"]);

/* What this page knows no better place for, so that nothing new is hidden. */
function showRest(status) {
    const pairs = [];
    for (const [name, value] of Object.entries(status)) {
        if (KNOWN.has(name)) continue;
        if (typeof value === "number" || typeof value === "string" || typeof value === "boolean") pairs.push([spoken(name), value]);
        else if (value && !Array.isArray(value)) {
            for (const [inner, number] of Object.entries(value)) if (typeof number !== "object") pairs.push([`${spoken(name)}: ${inner.replace(/_/g, " ")}`, number]);
        }
    }
    ui.rest.hidden = pairs.length === 0;
    const list = make("dl", {}, ...pairs.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, typeof value === "number" ? value.toLocaleString("en") : String(value))]));
    ui.rest.replaceChildren(ui.rest.querySelector("h2"), list);
}

/* ---- the whole ---- */

function say(kind, word) {
    document.body.classList.toggle("away", kind === "bad");
    ui.state.className = kind;
    const place = ui.state.querySelector(".word");
    if (place.textContent !== word) place.textContent = word;  // only changes are read out
}

function show(status) {
    const serving = status.workers.filter((one) => one.state === "serving").length;
    say(status.draining || serving === 0 ? "warn" : "good", status.draining ? "Draining" : serving === 0 ? "No worker serves" : "Serving");
    ui.since.textContent = `for ${age(status.uptime_s)}${status.version ? `, version ${status.version}` : ""}${status.master_bytes ? `, supervisor ${bytes(status.master_bytes).join(" ")}` : ""}`;
    showDials(status);
    showClasses(status);
    showStages(status);
    showTiers(status);
    showWorkers(status);
    showQuarantine(status);
    showErrors(status);
    showRest(status);
}

let isPaused = false, timer = 0;

async function look() {
    clearTimeout(timer);
    try {
        const reply = await fetch("status", { cache: "no-store", signal: AbortSignal.timeout(5000) });
        if (!reply.ok) throw new Error(String(reply.status));
        history.push({ at: performance.now(), status: await reply.json() });
        if (history.length > HISTORY) history.shift();
        show(history.at(-1).status);
    } catch (error) {
        say("bad", "No answer");
        console.warn("status:", error);
    }
    if (!isPaused && !document.hidden) timer = setTimeout(look, EVERY_MS);
}

ui.pause.addEventListener("click", () => {
    isPaused = !isPaused;
    ui.pause.setAttribute("aria-pressed", String(isPaused));
    ui.pause.textContent = isPaused ? "Go on" : "Pause";
    if (isPaused) clearTimeout(timer);
    else look();
});
document.addEventListener("visibilitychange", () => { if (!document.hidden && !isPaused) look(); });
look();
