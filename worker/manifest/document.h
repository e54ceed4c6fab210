/* A manifest or a collection as JSON: IIIF Presentation 3.0 and 2.1. Pure; any thread.
 *
 * What it is made of is read elsewhere (worker/manifest/described.h, the pictures); here it only gets its
 * form. The same input makes the same bytes. */
#ifndef WORKER_MANIFEST_DOCUMENT_H
#define WORKER_MANIFEST_DOCUMENT_H

#include "base/bytes.h"
#include "worker/image/geometry.h"
#include "worker/manifest/described.h"

#define MANIFEST_THUMBNAIL_PX 200u /* the longer edge that is looked for among the sizes of a picture */

/* One picture: a canvas of a manifest. */
struct manifest_page {
    const char *identifier;      /* percent-encoded */
    json_t *label;               /* a language map; owned by whoever fills the page */
    struct image_size size;      /* upright */
    struct image_size full;      /* what `max` gives: smaller where the limits are */
    struct image_size thumbnail; /* a size that the picture has; 0 × 0: none */
};

/* Something a collection lists. */
struct manifest_member {
    const char *identifier; /* percent-encoded */
    bool is_collection;
    json_t *label;                    /* a language map */
    const char *thumbnail_identifier; /* the picture that stands for it; NULL: none is known */
    struct image_size thumbnail;
};

struct manifest_document {
    const char *base_url;   /* "https://host/prefix" */
    const char *identifier; /* percent-encoded; "" for the root collection */
    bool is_collection;
    const struct manifest_described *described;
    const struct manifest_page *page;
    size_t page_count; /* a manifest has at least one */
    const struct manifest_member *member;
    size_t member_count;
};

/* "{base}/presentation/{version}/{identifier}/manifest" or ".../collection"; of the root
 * "{base}/presentation/{version}/collection". A malloc'd text, NULL when memory is out. */
char *manifest_document_url(const char *base_url, int version, const char *identifier, bool is_collection);

/* Appends the document of version 2 or 3. RC_NO_MEMORY. */
RC_MUST_USE enum rc manifest_document_write(const struct manifest_document *document, int version,
                                            struct bytes *out, struct err *err);

/* ---- private to document*.c: the objects; NULL when memory is out ---- */

json_t *manifest_document_2(const struct manifest_document *document);
json_t *manifest_document_3(const struct manifest_document *document);

#endif
