/* Reads documents of the Presentation API, as JSON on standard input: [{"version": 2|3, "document": {...}}, ...]. Those of version 2 are made
 * into version 3 first. Writes for each what there was to complain about, the type, and how many canvases or members it has. */
import { Traverse } from "@iiif/parser";
import { presentation3StrictUpgrade } from "@iiif/parser/strict";
import { upgrade } from "@iiif/parser/upgrader";
import { readFileSync } from "node:fs";

const told = [];
for (const { version, document } of JSON.parse(readFileSync(0, "utf8"))) {
    const state = { warnings: [] };
    const newer = version === 2 ? upgrade(document) : document;
    presentation3StrictUpgrade(structuredClone(newer), state);
    let services = 0;
    new Traverse({ service: [(one) => { services += 1; return one; }] }).traverseUnknown(structuredClone(newer));
    told.push({ warnings: state.warnings, type: newer.type, items: newer.items?.length ?? 0, services,
        label: newer.label, id: newer.id });
}
console.log(JSON.stringify(told));
