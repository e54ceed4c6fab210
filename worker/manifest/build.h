/* From a path below the image root to its manifest or collection: takes what the survey
 * (worker/manifest/survey.h) has found, reads sidecars and rows of the catalogue, looks at pictures for their
 * sizes, and has the document written.
 *
 *     a picture             a manifest with a canvas for each of its pages
 *     a folder of pictures  a manifest with a canvas for each of them, in natural order
 *     a folder of folders   a collection of what is in it; the image root is always one
 *
 * NAME.json beside NAME.tif or the folder NAME is its sidecar (worker/manifest/described.h); one that is
 * wrong is told to the caller and otherwise left out. What it leaves open the catalogue says, then the
 * picture itself, then its file's name. The same files make the same bytes. On a render thread: blocks on the
 * file system. */
#ifndef WORKER_MANIFEST_BUILD_H
#define WORKER_MANIFEST_BUILD_H

#include "worker/manifest/document.h"
#include "worker/manifest/site.h"
#include "worker/manifest/survey.h"

struct manifest_wanted {
    const char *base_url;
    int version;            /* 2 or 3 */
    const char *identifier; /* percent-encoded, as the document names it; "" for the root */
    const char *path;       /* below the image root; "" for it */
};

/* A picture that stands for a member of a collection; the survey does not look at it. */
struct manifest_pictured {
    const char *path;
    uint64_t version_hash;
};

struct manifest_built {
    struct bytes text;
    const struct manifest_pictured *pictured; /* in the arena */
    size_t pictured_count;
};

/* Of whichever kind the survey says. RC_NOT_FOUND: a folder without pictures. RC_AWAY: *ret_away is the path
 * to wait for; a folder's ends with a slash. RC_CANCELLED. Otherwise codes of origin_list() and
 * pictures_open(). */
RC_MUST_USE enum rc manifest_build(const struct manifest_site *site, const struct manifest_wanted *wanted,
                                   const struct manifest_survey *survey, struct arena *arena,
                                   struct manifest_built *ret_built, const char **ret_away, struct err *err);

#endif
