/* Drives Chromium through a viewer page and writes what happened as JSON to standard output.
 *
 * node viewer.mjs CHROMIUM PAGE_URL INFO_URL SCREENSHOT POINTS
 * POINTS: JSON list of [x, y] in pixels of the image; their shown colours are read back at every zoom at which
 * they are on the screen. */
import { chromium } from "playwright-core";

const [program, page_url, info_url, screenshot, points_json] = process.argv.slice(2);
const points = JSON.parse(points_json);
const LIMIT_MS = 120000;

const browser = await chromium.launch({
    executablePath: program,
    args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});
const report = { responses: [], failed: [], errors: [], steps: [] };
try {
    const page = await browser.newPage({ viewport: { width: 1000, height: 700 } });
    page.setDefaultTimeout(LIMIT_MS);
    page.on("response", (reply) => report.responses.push({ url: reply.url(), status: reply.status() }));
    page.on("requestfailed", (request) => {
        report.failed.push({ url: request.url(), why: request.failure()?.errorText });
    });
    page.on("pageerror", (error) => report.errors.push(String(error)));
    page.on("console", (message) => { if (message.type() === "error") report.errors.push(message.text()); });
    await page.goto(`${page_url}?info=${encodeURIComponent(info_url)}`);

    for (const zoom of [1, 2, 4, 8]) {
        const centre = points[0];
        await page.waitForFunction(() => window.viewer?.isOpen());
        await page.evaluate(([factor, [x, y]]) => {
            const item = window.viewer.world.getItemAt(0);
            window.viewer.viewport.goHome(true);
            if (factor > 1) {
                window.viewer.viewport.zoomTo(window.viewer.viewport.getHomeZoom() * factor, null, true);
                window.viewer.viewport.panTo(item.imageToViewportCoordinates(x, y), true);
            }
        }, [zoom, centre]);
        await page.evaluate(frames, 5);  // lets the viewer notice that it must load other tiles
        await page.waitForFunction(() => window.viewer.world.getItemAt(0).getFullyLoaded());
        await page.evaluate(frames, 10);  // and draw them
        report.steps.push(await page.evaluate(read_back, [zoom, points]));
        await page.screenshot({ path: screenshot.replace(".png", `-${zoom}x.png`) });
    }
} catch (error) {
    report.errors.push(String(error));
} finally {
    await browser.close();
}
console.log(JSON.stringify(report));

/* Runs in the page: so many times it has been drawn anew, and the viewer has looked at what it shows. */
async function frames(count) {
    while (count-- > 0) await new Promise((resolve) => requestAnimationFrame(resolve));
}

/* Runs in the page: colours on the canvas at the given points of the image, and how many there are at all. */
function read_back([zoom, points]) {
    const canvas = window.viewer.drawer.canvas;
    const context = canvas.getContext("2d");
    const item = window.viewer.world.getItemAt(0);
    const scale = canvas.width / canvas.clientWidth;
    const seen = [];
    for (const [x, y] of points) {
        const at = item.imageToViewerElementCoordinates(new window.OpenSeadragon.Point(x, y));
        const left = Math.round(at.x * scale), top = Math.round(at.y * scale);
        if (left >= 0 && top >= 0 && left < canvas.width && top < canvas.height) {
            seen.push({ x, y, colour: Array.from(context.getImageData(left, top, 1, 1).data) });
        }
    }
    const colours = new Set();
    const all = context.getImageData(0, 0, canvas.width, canvas.height).data;
    for (let at = 0; at < all.length; at += 4 * 97) {
        colours.add(all[at] << 16 | all[at + 1] << 8 | all[at + 2]);
    }
    return { zoom, seen, colours: colours.size, width: canvas.width, height: canvas.height };
}
