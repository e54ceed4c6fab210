/* The pictures a worker has open: (path, page) → headers read, colour decided, descriptor held.
 *
 * A hot request finds its picture here on the event thread without a system call; anything else (first use, or the time
 * to look whether the file was replaced) touches the file system and belongs on a render thread. Bounded in number, least
 * recently used leaves first; a picture in use lives on through its reference count. One mutex, held for a look-up only.
 * Private to one process; a crash loses nothing that cannot be opened again. */
#ifndef CACHE_PICTURES_H
#define CACHE_PICTURES_H

#include "cache/origin.h"
#include "worker/image/colour.h"
#include "worker/image/source.h"

struct picture {
    struct image_source *source;
    struct image_colour *colour;
    const char *note; /* what was ignored about its colour profile, for the log; or NULL */
    struct origin_version version;
    uint64_t version_hash;
};

struct pictures;

RC_MUST_USE enum rc pictures_new(struct origin *origin, const struct image_source_limits *limits,
                                 uint32_t capacity, int64_t revalidate_ms, struct pictures **ret_pictures,
                                 struct err *err);
/* Every reference must have been given back. Leaves the origin open. */
void pictures_free(struct pictures **pictures);

/* The picture if it is open and was compared with its file less than `revalidate_ms` ago, else NULL. No I/O. */
struct picture *pictures_peek(struct pictures *pictures, const char *path, uint32_t page);
/* The picture as the file is now: compares, opens or opens anew. Blocks on the file system. *ret_opened tells whether
 * it was opened just now (for the log). Codes of origin_open_blob() and image_source_open(). */
RC_MUST_USE enum rc pictures_open(struct pictures *pictures, const char *path, uint32_t page,
                                  struct picture **ret_picture, bool *ret_opened, struct err *err);
/* Gives a reference back; the variable becomes NULL. */
void pictures_release(struct pictures *pictures, struct picture **picture);

#endif
