/* Opens a manifest or collection in a viewer in Chromium, and writes what happened as JSON to standard output.
 *
 * node viewers.mjs CHROMIUM PAGE_URL SCREENSHOT PICK
 * PICK: the texts of what to click on first, one after the other, with | between them; or "". */
import { chromium } from "playwright-core";

const [program, page_url, screenshot, pick] = process.argv.slice(2);
const LIMIT_MS = 120000;

const browser = await chromium.launch({
    executablePath: program,
    args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});
const report = { responses: [], errors: [] };
let page;
try {
    page = await browser.newPage({ viewport: { width: 1200, height: 800 } });
    page.setDefaultTimeout(LIMIT_MS);
    page.on("response", (reply) => report.responses.push({ url: reply.url(), status: reply.status() }));
    page.on("pageerror", (error) => report.errors.push(String(error)));
    /* Whatever a viewer would like from elsewhere, fonts and analytics, is not there. */
    await page.route((url) => url.hostname !== "127.0.0.1", (route) => route.abort());
    const tile = page.waitForResponse((reply) => /\/default\.(jpg|webp|png)$/.test(reply.url()) &&
        !/\/full\/\d+,\d*\/0\//.test(reply.url()) && reply.status() === 200);
    tile.catch(() => {});  // said below, where it is waited for
    await page.goto(page_url);
    for (const text of pick.split("|").filter((one) => one !== "")) {
        await page.getByText(text, { exact: true }).first().click();
    }
    await tile;
    await page.waitForLoadState("networkidle");
    await drawn(page);
    await page.screenshot({ path: screenshot });
} catch (error) {
    report.errors.push(String(error));
    await page?.screenshot({ path: screenshot });
} finally {
    await browser.close();
}
console.log(JSON.stringify(report));

/* Until a photograph is seen in the middle, which as a PNG is large: when a picture has come it is not on the screen yet. */
async function drawn(page) {
    const middle = { x: 500, y: 250, width: 300, height: 300 };
    for (const end = Date.now() + LIMIT_MS; Date.now() < end; await page.waitForTimeout(100)) {
        if ((await page.screenshot({ clip: middle })).length > 30000) return;
    }
}
