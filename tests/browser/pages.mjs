/* Drives Chromium through Vitrine's own pages and writes what happened as JSON to standard output.
 *
 * node pages.mjs CHROMIUM PUBLIC_URL ADMIN_URL SCREENSHOT_FOLDER
 * Runs every scenario and reports for each of them: what it returned (`seen`), console messages and exceptions, answers. */
import { chromium } from "playwright-core";

const [program, site, admin, folder] = process.argv.slice(2);
const LIMIT_MS = 120000;
let report = null;  // of the scenario that runs
let opened = [];    // its pages: {page, unanswered}

const browser = await chromium.launch({
    executablePath: program,
    args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});

async function open(options = {}) {
    const context = await browser.newContext({ viewport: { width: 1280, height: 850 }, reducedMotion: "reduce", ...options });
    await context.grantPermissions(["clipboard-read", "clipboard-write"]);
    const page = await context.newPage(), own = report, unanswered = new Set();
    opened.push({ page, unanswered });
    page.setDefaultTimeout(LIMIT_MS);
    page.on("request", (request) => unanswered.add(request.url()));
    page.on("requestfinished", (request) => unanswered.delete(request.url()));
    page.on("response", (reply) => own.responses.push({ url: reply.url(), status: reply.status() }));
    page.on("requestfailed", (request) => {
        unanswered.delete(request.url());
        if (request.failure()?.errorText !== "net::ERR_ABORTED") own.failed.push({ url: request.url(), why: request.failure()?.errorText });
    });
    page.on("pageerror", (error) => own.errors.push(String(error)));
    page.on("console", (message) => { if (["error", "warning"].includes(message.type())) own.errors.push(message.text()); });
    return page;
}

const shot = (page, file) => page.screenshot({ path: `${folder}/${file}.png` });
const clip = (page) => page.evaluate(() => navigator.clipboard.readText());
const loaded = (page) => page.waitForFunction(() => window.vitrineViewer?.world.getItemAt(0)?.getFullyLoaded());

/* The picture of this identifier, and no earlier one, is in the address and on the stage. */
const shown = (page, id) => page.waitForFunction((id) => {
    const item = window.vitrineViewer?.world.getItemAt(0);
    return location.pathname.endsWith(`/view/${id}`) && item?.source._id.endsWith(`/iiif/3/${id}`) && item.getFullyLoaded();
}, id);

/* Where a page stands that did not get to where it was waited for. */
async function standing({ page, unanswered }) {
    const state = await page.evaluate(() => {
        const item = window.vitrineViewer?.world.getItemAt(0);
        const text = (what) => document.querySelector(what)?.textContent;
        return { title: document.title, subtitle: text("#subtitle"), current: text("[aria-current]"), cannot: text(".cannot"),
            picture: item?.source._id, isLoaded: item?.getFullyLoaded() };
    }).catch((error) => String(error));
    return JSON.stringify({ url: page.url(), ...state, unanswered: [...unanswered] });
}
const bounds = (page) => page.evaluate(() => {
    const item = window.vitrineViewer.world.getItemAt(0);
    const { x, y, width, height } = item.viewportToImageRectangle(window.vitrineViewer.viewport.getBounds(false));
    return [x, y, width, height];
});

/* The same once panel and strip have come or gone, and the picture has found its place beside them. */
async function settled(page) {
    for (let last = null, tries = 0; tries < 100; tries++) {
        const now = await bounds(page);
        if (last !== null && now.every((number, at) => number === last[at])) return now;
        last = now;
        await page.waitForTimeout(200);
    }
    throw new Error("the picture does not come to rest");
}

/* How far the page is wider than the window; and what sticks out. */
const overflow = (page) => page.evaluate(() => document.documentElement.scrollWidth - innerWidth);

/* What the Tab key reaches, by name, until it comes round. */
async function tabs(page, most) {
    const reached = [];
    for (let i = 0; i < most; i++) {
        await page.keyboard.press("Tab");
        reached.push(await page.evaluate(() => {
            const at = document.activeElement, box = at.getBoundingClientRect();
            return { tag: at.tagName, name: at.getAttribute("aria-label") ?? at.textContent.trim(), seen: box.width > 0 && box.height > 0 && at.matches(":focus-visible") };
        }));
    }
    return reached;
}

/* A folder of more pictures than are shown at first, scrolled down as long as more come. */
async function toTheEnd(page) {
    const seen = {};
    await page.goto(`${site}/?folder=many`);
    await page.waitForSelector("#pictures li");
    seen.first = await page.locator("#pictures li").count();
    for (let tries = 0; tries < 400; tries++) {
        await page.evaluate(() => scrollTo(0, document.body.scrollHeight));
        if (await page.locator("#more").isHidden()) break;
        await page.waitForTimeout(50);
    }
    seen.all = await page.locator("#pictures .name").allTextContents();
    return seen;
}

/* What has no name for those who cannot see it. */
const nameless = (page) => page.evaluate(() => [...document.querySelectorAll("a, button, input, select")]
    .filter((one) => one.checkVisibility() && !(one.getAttribute("aria-label") ?? one.textContent.trim()) && !one.labels?.length)
    .map((one) => one.outerHTML));

const scenarios = {
    async gallery() {
        const page = await open(), seen = {};
        await page.goto(`${site}/`);
        await page.waitForSelector("#pictures li");
        await page.waitForFunction(() => [...document.images].slice(0, 6).every((image) => image.complete && image.naturalWidth > 0));
        seen.folders = await page.locator("#folders .name").allTextContents();
        seen.pictures = await page.locator("#pictures .name").allTextContents();
        seen.count = await page.textContent("#count");
        seen.landmarks = await page.evaluate(() => ["header", "main", "footer", "[role=search]", "nav", "h1"].filter((one) => document.querySelector(one)).length);
        seen.nameless = await nameless(page);
        await shot(page, "gallery");
        seen.tabs = await tabs(page, 5);
        await page.keyboard.press("/");
        await page.keyboard.type("BRIDGE ten");
        /* Who types slowly is shown what the beginning finds, too. */
        await page.waitForFunction(() => document.querySelector("#title").textContent === "\u201cBRIDGE ten\u201d" &&
            document.querySelector("#count").textContent.startsWith("1 picture"));
        seen.found = await page.locator("#pictures .name").allTextContents();
        seen.address = page.url();
        await page.reload();
        await page.waitForFunction(() => document.querySelector("#count").textContent.startsWith("1 picture"));
        seen.value = await page.inputValue("#words");
        await page.fill("#words", "zeppelin");
        await page.waitForSelector("#empty h2");
        seen.nothing = await page.textContent("#empty");
        await page.goBack();
        await page.waitForFunction(() => location.search === "");
        await page.waitForSelector("#folders li");
        await page.click("#folders a >> text=<b>hostile");
        await page.waitForFunction(() => document.title.includes("hostile"));
        await page.waitForSelector("#pictures li");
        seen.hostile = { title: await page.textContent("#title"), way: await page.textContent("#way"), names: await page.locator("#pictures .name").allTextContents(), alerted: await page.evaluate(() => window.alerted === true) };
        await page.click("#pictures a");
        await loaded(page);
        seen.viewed = await page.textContent("#title");
        await page.click("#back");
        await page.waitForSelector("#pictures li");
        seen.back = await page.textContent("#title");
        await page.goto(`${site}/?folder=none`);
        await page.waitForSelector("#empty h2");
        seen.missing = await page.textContent("#empty h2");
        return seen;
    },

    async many() {
        const page = await open();
        return toTheEnd(page);
    },

    /* What comes into sight and goes out of it is told late, and several at a time. */
    async busy() {
        const page = await open();
        await page.addInitScript(() => {
            window.IntersectionObserver = class extends window.IntersectionObserver {
                constructor(tell, options) {
                    let untold = [];
                    super((entries) => {
                        untold.push(...entries);
                        setTimeout(() => { if (untold.length > 0) tell(untold.splice(0), this); }, 300);
                    }, options);
                }
            };
        });
        return toTheEnd(page);
    },

    async narrow() {
        const seen = {};
        for (const [scheme, width] of [["light", 360], ["dark", 360], ["dark", 2560]]) {
            const page = await open({ viewport: { width, height: width === 360 ? 740 : 1400 }, colorScheme: scheme });
            for (const [what, url] of [["gallery", `${site}/`], ["viewer", `${site}/view/pages.tif`], ["status", `${admin}/`], ["problem", `${site}/none-of-this-${"long".repeat(40)}`]]) {
                await page.goto(url);
                await page.waitForLoadState("networkidle").catch(() => {});
                if (what === "viewer") {
                    await loaded(page);
                    if (width === 360) await page.click("#toggle");
                }
                await shot(page, `${what}-${width}-${scheme}`);
                seen[`${what} ${width} ${scheme}`] = { over: await overflow(page), paper: await page.evaluate(() => getComputedStyle(document.body).backgroundColor) };
            }
            await page.context().close();
        }
        return seen;
    },

    async viewer() {
        const page = await open(), seen = {};
        await page.goto(`${site}/view/maps%2Fbig.tif`);
        await loaded(page);
        await page.waitForSelector("#after");  // manifest and neighbours have come
        seen.title = await page.textContent("#title");
        seen.whole = await bounds(page);
        seen.nameless = await nameless(page);
        seen.tabs = await tabs(page, 8);
        await shot(page, "viewer");
        await page.click("[data-what=in]");
        await page.click("[data-what=in]");
        await page.click("[data-what=in]");
        await loaded(page);
        seen.zoomed = await bounds(page);
        await page.evaluate(() => window.vitrineViewer.viewport.panBy(new window.OpenSeadragon.Point(0.2, 0.1), true));
        await loaded(page);
        await page.click("#toggle");
        await page.waitForSelector("#region");
        seen.metadata = await page.locator("#about dl").textContent();
        seen.downloads = await page.locator("#about .row a").evaluateAll((links) => links.map((link) => [link.href, link.download, link.lastChild.textContent]));
        seen.moved = await settled(page);
        await page.click("#region");
        await page.waitForFunction(() => document.querySelector("#told").textContent.startsWith("Copied"));
        seen.link = await clip(page);
        seen.copies = [];
        for (const button of await page.locator("#about .link button").all()) {
            await page.evaluate(() => navigator.clipboard.writeText(""));
            await button.click();
            await page.waitForFunction(async () => await navigator.clipboard.readText() !== "");
            seen.copies.push(await clip(page));
        }
        await shot(page, "viewer-about");
        await page.keyboard.press("Escape");
        seen.shut = await page.evaluate(() => [document.querySelector("#about").hidden, document.activeElement.id]);
        await page.keyboard.press("r");
        await page.waitForFunction(() => window.vitrineViewer.viewport.getRotation() !== 0);
        seen.rotation = await page.evaluate(() => window.vitrineViewer.viewport.getRotation());
        await page.click("[data-what=screen]");
        await page.waitForFunction(() => document.body.classList.contains("whole"));
        seen.screen = await page.evaluate(() => [document.fullscreenElement !== null, document.querySelector(".bar").checkVisibility()]);
        await page.click("[data-what=screen]");
        await page.waitForFunction(() => !document.body.classList.contains("whole"));

        const again = await open();
        await again.goto(seen.link);
        await loaded(again);
        seen.restored = await settled(again);
        const elsewhere = new URL(seen.link).search;
        await again.goto(`${site}/view/9.png${elsewhere}`);
        await again.waitForFunction(() => location.pathname.endsWith("/view/maps%2Fbig.tif"));
        await loaded(again);
        seen.followed = await settled(again);
        await again.goto(`${site}/${elsewhere}`);
        await again.waitForFunction(() => location.pathname.endsWith("/view/maps%2Fbig.tif"));
        await loaded(again);
        seen.gallery = await settled(again);
        for (const wrong of ["x", "%7B%7D", "eyJ", "https%3A%2F%2Felsewhere.example%2Fmanifest"]) {
            await again.goto(`${site}/view/9.png?iiif-content=${wrong}`);
            await loaded(again);
        }
        return seen;
    },

    async pages() {
        const page = await open(), seen = {};
        await page.goto(`${site}/view/pages.tif`);
        await shown(page, "pages.tif");
        await page.waitForSelector("#strip li");
        seen.strip = await page.locator("#strip span").allTextContents();
        seen.subtitle = await page.textContent("#subtitle");
        await page.click("#after");
        await shown(page, "pages.tif;2");
        seen.second = [await page.textContent("#subtitle"), await page.locator("[aria-current]").textContent()];
        await page.keyboard.press("PageDown");
        await shown(page, "pages.tif;3");
        await page.waitForFunction(() => document.querySelector("#after").hidden);
        await page.goBack();
        await page.waitForFunction(() => document.querySelector("#subtitle").textContent.startsWith("Page 2"));
        await page.goto(`${site}/view/many%2F75.png`);
        await shown(page, "many%2F75.png");
        await page.waitForSelector("#strip [aria-current]");
        seen.neighbours = [await page.locator("#strip li").count(), await page.locator("[aria-current]").textContent()];
        return seen;
    },

    /* Who turns pages faster than they come gets as far as he turned, and back by the same steps. */
    async hurry() {
        const page = await open(), seen = {};
        let release;
        const held = new Promise((resolve) => { release = resolve; });
        await page.route("**/iiif/3/pages.tif;2/info.json", async (route) => {
            await held;
            await route.continue();
        });
        await page.goto(`${site}/view/pages.tif`);
        await shown(page, "pages.tif");
        await page.waitForSelector("#after");  // the neighbours are known then
        await page.keyboard.press("PageDown");
        await page.keyboard.press("PageDown");
        await shown(page, "pages.tif;3");
        release();
        await page.waitForResponse((reply) => reply.url().endsWith("pages.tif;2/info.json"));
        seen.last = await page.textContent("#subtitle");
        await page.goBack();
        await shown(page, "pages.tif;2");
        await page.goBack();
        await shown(page, "pages.tif");
        return seen;
    },

    async status() {
        const page = await open(), seen = {};
        await page.goto(`${admin}/`);
        await page.waitForFunction(() => document.querySelectorAll(".worker").length > 0);
        seen.state = await page.textContent("#state");
        const requests = () => page.evaluate(() => [...document.querySelectorAll("#classes tbody tr")].map((row) => [row.children[0].textContent, row.children[1].textContent]));
        seen.before = Object.fromEntries(await requests());
        await page.waitForFunction((before) => [...document.querySelectorAll("#classes tbody tr")].some((row) =>
            row.children[0].textContent === "Command" && Number(row.children[1].textContent) > before), Number(seen.before.Command));
        seen.after = Object.fromEntries(await requests());
        seen.sections = await page.locator("section:visible h2").allTextContents();
        seen.workers = await page.locator(".worker").allTextContents();
        seen.errors = await page.textContent("#errors");
        seen.tabs = await tabs(page, 2);
        await page.click("#pause");
        seen.paused = await page.getAttribute("#pause", "aria-pressed");
        await shot(page, "status");
        return seen;
    },
};

const reports = {};
for (const [name, run] of Object.entries(scenarios)) {
    report = reports[name] = { responses: [], failed: [], errors: [], seen: null };
    opened = [];
    try {
        report.seen = await run();
    } catch (error) {
        report.errors.push(error.stack, ...await Promise.all(opened.map(standing)));
    }
    for (const context of browser.contexts()) await context.close();
}
await browser.close();
console.log(JSON.stringify(reports));
