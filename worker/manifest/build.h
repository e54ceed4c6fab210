/* From a path below the image root to its manifest or collection: lists the folder, reads sidecars, opens pictures for their sizes, and has the
 * document written.
 *
 *     a picture             a manifest with a canvas for each of its pages
 *     a folder of pictures  a manifest with a canvas for each of them, in natural order
 *     a folder of folders   a collection of what is in it; the image root is always one
 *
 * NAME.json beside NAME.tif or the folder NAME is its sidecar (worker/manifest/described.h). One that is wrong is told to the caller and
 * otherwise left out. The same files make the same bytes. On a render thread: blocks on the file system. */
#ifndef WORKER_MANIFEST_BUILD_H
#define WORKER_MANIFEST_BUILD_H

#include "cache/pictures.h"
#include "worker/iiif/size.h"
#include "worker/manifest/document.h"

struct manifest_site {
    struct origin *origin;
    struct pictures *pictures;
    const struct iiif_limits *limits;
    void (*warn)(const char *sentence, void *context); /* of a sidecar; once for each document */
    bool (*cancelled)(void *context);                  /* between two pictures */
    void *context;
};

struct manifest_wanted {
    const char *base_url;
    int version;            /* 2 or 3 */
    const char *identifier; /* percent-encoded, as the document names it; "" for the root */
    const char *path;       /* below the image root; "" for it */
    bool is_collection;
};

enum manifest_built {
    MANIFEST_BUILT,
    MANIFEST_IS_OTHER /* a manifest was wanted of a collection, or the reverse */
};

/* RC_NOT_FOUND: no such file or folder, or none with pictures. RC_AWAY: *ret_away is the path to wait for. RC_CANCELLED. Otherwise codes of
 * origin_list() and pictures_open(). */
RC_MUST_USE enum rc manifest_build(const struct manifest_site *site, const struct manifest_wanted *wanted,
                                   struct arena *arena, struct bytes *out, enum manifest_built *ret_built,
                                   const char **ret_away, struct err *err);

#endif
