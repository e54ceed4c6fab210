/* The picture itself: OpenSeadragon and the buttons that go with it. */
import { base, calm, icon, make } from "./common.js";

const DRAWINGS = {
    in: "M12 6v12M6 12h12",
    out: "M6 12h12",
    all: "M4.5 9V4.5H9M15 4.5h4.5V9M19.5 15v4.5H15M9 19.5H4.5V15",
    left: "M4.5 5v4.5H9M5 9.3a7.5 7.5 0 1 1-.5 4.6",
    right: "M19.5 5v4.5H15M19 9.3a7.5 7.5 0 1 0 .5 4.6",
    screen: "M14 4.5h5.5V10M10 19.5H4.5V14M19.5 4.5 13.5 10.5M4.5 19.5l6-6",
};

/* `listeners`: moved() when another part is seen, changed(whole) when full screen begins or ends. */
export function makeStage(place, controls, listeners) {
    let viewer = null, info = null, still = null;
    /* What the page shows of its own accord, a region or all (null), until somebody moves it: kept in view while panel and strip come and go. */
    let kept = null, isMoved = false;

    const zoomed = window.OpenSeadragon !== undefined;

    /* OpenSeadragon puts a style sheet into the page unless it sees its own there, which the policy forbids; that rule is in view.css. An
     * element of no meaning is enough for it to see. */
    function keepStyles() {
        const seen = document.createElementNS("urn:none", "style");
        seen.setAttribute("data-openseadragon-mobile-css", "");
        document.head.append(seen);
    }

    function open() {
        keepStyles();
        viewer = window.OpenSeadragon({
            element: place,
            drawer: "canvas",
            showNavigationControl: false,
            showNavigator: true,
            navigatorPosition: "BOTTOM_RIGHT",
            navigatorSizeRatio: 0.14,
            animationTime: calm() ? 0 : 0.7,
            blendTime: calm() ? 0 : 0.1,
            springStiffness: 8,
            visibilityRatio: 0.5,
            minZoomImageRatio: 0.7,
            maxZoomPixelRatio: 4,
            zoomPerScroll: 1.35,
            immediateRender: false,
            gestureSettingsMouse: { clickToZoom: false, dblClickToZoom: true },
            gestureSettingsTouch: { pinchRotate: false },
        });
        viewer.addHandler("animation-finish", () => listeners.moved());
        viewer.addHandler("open", () => listeners.moved());
        /* The small map says something only where there is more than is seen. */
        viewer.addHandler("viewport-change", () => place.classList.toggle("home", viewer.viewport.getZoom() <= 1.05 * viewer.viewport.getHomeZoom()));
        viewer.addHandler("open", () => place.classList.add("home"));
        viewer.addHandler("after-resize", () => requestAnimationFrame(() => { if (!isMoved) fit(); }));  // OpenSeadragon itself pans and zooms after this event
        for (const event of ["canvas-drag", "canvas-scroll", "canvas-pinch", "canvas-key", "canvas-double-click"]) viewer.addHandler(event, () => { isMoved = true; });
        viewer.navigator?.addHandler("canvas-press", () => { isMoved = true; });
        viewer.canvas.setAttribute("role", "application");
        viewer.canvas.setAttribute("aria-roledescription", "zoomable picture");
        viewer.addHandler("canvas-key", (event) => {
            if (["PageUp", "PageDown", "r", "R"].includes(event.originalEvent.key)) event.preventDefaultAction = true;
        });
        window.vitrineViewer = viewer;
    }

    function fit() {
        const item = viewer?.world.getItemAt(0);
        if (!item) return;
        if (kept === null) viewer.viewport.goHome(true);
        else viewer.viewport.fitBounds(item.imageToViewportRectangle(kept.x, kept.y, kept.width, kept.height), true);
    }

    function press(what) {
        const view = viewer?.viewport;
        isMoved = isMoved || what !== "screen";
        if (what === "screen") toggleScreen();
        else if (!view) return;
        else if (what === "in") view.zoomBy(1.6).applyConstraints();
        else if (what === "out") view.zoomBy(1 / 1.6).applyConstraints();
        else if (what === "all") {
            view.goHome();
            kept = null;
            isMoved = false;
        }
        else if (what === "left") view.rotateBy(-90);
        else if (what === "right") view.rotateBy(90);
    }

    /* A toolbar is one stop of the Tab key; arrows lead along it (ARIA APG). */
    function makeControls() {
        const button = (what, label) => make("button", { type: "button", "aria-label": label, title: label, "data-what": what, onclick: () => press(what) }, icon(DRAWINGS[what]));
        const between = () => make("span", { class: "between", "aria-hidden": "true" });
        const buttons = zoomed
            ? [button("out", "Zoom out"), button("in", "Zoom in"), button("all", "Whole picture"), between(),
                button("left", "Rotate left"), button("right", "Rotate right"), between(), button("screen", "Full screen")]
            : [button("screen", "Full screen")];
        controls.replaceChildren(...buttons);
        const stops = [...controls.querySelectorAll("button")];
        stops.forEach((stop, at) => { stop.tabIndex = at === 0 ? 0 : -1; });
        controls.addEventListener("keydown", (event) => {
            const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
            if (!step) return;
            event.preventDefault();
            const at = stops.indexOf(document.activeElement);
            const next = stops[(at + step + stops.length) % stops.length];
            stops.forEach((stop) => { stop.tabIndex = stop === next ? 0 : -1; });
            next.focus();
        });
    }

    /* The page as a whole, so that buttons, hints and pages stay; where a browser cannot (iPhones), the page does what it can. */
    function toggleScreen() {
        if (document.fullscreenElement) document.exitFullscreen();
        else if (document.documentElement.requestFullscreen) document.documentElement.requestFullscreen().catch(() => listeners.changed(!document.body.classList.contains("whole")));
        else listeners.changed(!document.body.classList.contains("whole"));
    }
    document.addEventListener("fullscreenchange", () => listeners.changed(document.fullscreenElement !== null));

    makeControls();
    if (zoomed) open();

    return {
        press,
        zoomed,
        /* `described` is info.json; `region` in pixels of the picture or null. */
        show(id, described, label, region) {
            info = described;
            place.querySelector(".cannot")?.remove();
            controls.hidden = false;
            if (!zoomed) {
                still = still ?? place.appendChild(make("img", { class: "still" }));
                still.alt = label;
                still.src = `${base}/iiif/3/${id}/full/!1600,1600/0/default.jpg`;
                listeners.told("This build of Vitrine came without OpenSeadragon, so the picture does not zoom.");
                return;
            }
            viewer.canvas.setAttribute("aria-label", `${label}. Arrow keys move, plus and minus zoom, 0 shows all of it, R rotates.`);
            viewer.viewport?.setRotation(0, true);
            kept = region;
            isMoved = false;
            viewer.addOnceHandler("open", fit);
            /* Tiles come from where this page came from, whatever address the server gives to others. */
            viewer.open({ ...described, id: `${location.origin}${base}/iiif/3/${id}` });
        },
        cannot(heading, sentence) {
            viewer?.close();
            still?.remove();
            still = null;
            controls.hidden = true;
            place.querySelector(".cannot")?.remove();
            place.append(make("div", { class: "cannot" }, make("h2", {}, heading), make("p", {}, sentence)));
        },
        /* What is seen, in whole pixels of the picture, cut at its edges; null: all of it, or nothing yet. */
        seen() {
            const item = viewer?.world.getItemAt(0);
            if (!item || !info) return null;
            const bounds = item.viewportToImageRectangle(viewer.viewport.getBounds(true)).getBoundingBox();
            const x = Math.max(0, Math.round(bounds.x)), y = Math.max(0, Math.round(bounds.y));
            const right = Math.min(info.width, Math.round(bounds.x + bounds.width));
            const bottom = Math.min(info.height, Math.round(bounds.y + bounds.height));
            if (right <= x || bottom <= y) return null;
            return x === 0 && y === 0 && right === info.width && bottom === info.height ? null : { x, y, width: right - x, height: bottom - y };
        },
        rotation: () => (((viewer?.viewport?.getRotation() ?? 0) % 360) + 360) % 360,
    };
}
