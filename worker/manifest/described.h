/* What is said about one image or folder, whoever says it: its sidecar, a row of the catalogue (CSV), the
 * picture itself, or its file's name. Each source fills a struct of its own; manifest_described_add() lets
 * the first that says something stand.
 *
 * Pure but for memory; one thread at a time. Texts are language maps (worker/manifest/language.h). */
#ifndef WORKER_MANIFEST_DESCRIBED_H
#define WORKER_MANIFEST_DESCRIBED_H

#include "base/err.h"
#include "worker/manifest/embedded.h"

#include <jansson.h>

/* NULL where nothing is said. Owned: manifest_described_done(). */
struct manifest_described {
    json_t *label, *summary;
    json_t *metadata;           /* [{"label": map, "value": map}] */
    json_t *rights;             /* a string: a URI of Creative Commons or RightsStatements.org (3.0 §3.1) */
    json_t *required_statement; /* {"label": map, "value": map} */
    json_t *viewing_direction, *nav_date; /* strings */
    json_t *behavior;                     /* [string] */
    json_t *other; /* provider, homepage, seeAlso, rendering: as 3.0 has them, given on untouched */
    json_t *pages; /* labels of pages: [string or map], in order, or {"file name": string or map} */
};

void manifest_described_done(struct manifest_described *described);
/* Takes over from `further` what `described` does not say; metadata is appended. Empties `further`. */
void manifest_described_add(struct manifest_described *described, struct manifest_described *further);

/* A sidecar: a JSON object with properties of Presentation 3.0, where a string may stand for a language map,
 * and an object {"Label": "value"} for metadata; and `pages`. Unknown properties are errors, so that a
 * misspelt one is noticed. RC_BAD_REQUEST with line or property. */
RC_MUST_USE enum rc manifest_described_sidecar(const void *text, size_t length,
                                               struct manifest_described *ret_described, struct err *err);
/* The same, parsed already. */
RC_MUST_USE enum rc manifest_described_read(json_t *written, struct manifest_described *ret_described,
                                            struct err *err);
RC_MUST_USE enum rc manifest_described_embedded(const struct manifest_embedded *embedded,
                                                struct manifest_described *ret_described, struct err *err);
/* The last part of a path, without the extension of a file. */
RC_MUST_USE enum rc manifest_described_name(const char *path, bool is_folder,
                                            struct manifest_described *ret_described, struct err *err);
/* A page's label: by its place (from 0) or its file name; else NULL. A new reference. */
json_t *manifest_described_page(const struct manifest_described *described, size_t place,
                                const char *file_name);

#endif
