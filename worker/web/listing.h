/* What the gallery shows, as JSON: a stretch of a folder, or of what a search finds.
 *
 *     {"folder": "maps%2F1900", "path": [{"id", "name"}...],     the folders that lead there, it the last
 *      "total": 1234, "more": false,                             "more": there are more than that, nobody counted
 *      "from": 60, "complete": true,                             false: the names are still being read, ask again; "known": so many
 *      "entries": [{"kind": "folder", "id", "name", "pictures", "folders", "cover"},
 *                  {"kind": "picture", "id", "name", "where", "width", "height", "pages", "sizes": [[w, h]...]}]}
 *
 * An `id` is percent-encoded as it stands in addresses; a `name` is for people, and is UTF-8 whatever the
 * file's name is. Sizes are those the picture has that suit a gallery, the smallest first, if any; where the
 * picture is not known yet, neither they nor its width and height are there. One that cannot be read says why
 * in "problem". A folder within, of which nothing is known quickly, has neither numbers nor a cover. On a
 * render thread: reads folders, and the headers of pictures that nobody knows, within a bounded time. */
#ifndef WORKER_WEB_LISTING_H
#define WORKER_WEB_LISTING_H

#include "cache/pictures.h"
#include "worker/iiif/size.h"
#include "worker/web/folder.h"
#include "worker/web/roll.h"

#define WEB_MOST_ENTRIES 200u /* of one answer */

struct web_gallery {
    struct web_folders *folders;
    struct web_roll *roll;
    struct pictures *pictures;
    const struct iiif_limits *limits;
};

struct web_wanted {
    const char *folder; /* decoded; "" for the root. A search looks below it */
    const char *search; /* NULL: no search */
    const char
        *near; /* the path of a picture of the folder that is to be in the middle; NULL: from `from` on */
    size_t from, count;
};

/* Appends the document. RC_NOT_FOUND: there is no such folder. RC_AWAY: the folder has to be awaited. Codes
 * of origin_visit(). */
RC_MUST_USE enum rc web_listing_write(const struct web_gallery *gallery, const struct web_wanted *wanted,
                                      struct arena *arena, struct bytes *out, struct err *err);

#endif
