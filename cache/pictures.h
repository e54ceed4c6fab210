/* The pictures a worker knows: (path, page) → shape, and where pixels are wanted: blob open, colour decided.
 *
 * A hot request finds its picture here on the event thread without a system call. What this worker does not know itself
 * it may have from the others: the sightings (shm/sightings.h) tell which version a source was lately seen in, and the pyramid
 * index (shm/pyramid_index.h) what that version is like, so that info.json and plans need no look at the source. Anything else
 * (first use, the time to look whether the source was replaced, pixels) touches the file system and belongs on a
 * render thread. A source that is in the index is opened, not parsed.
 *
 * Bounded in number, least recently used leaves first; a picture in use lives on through its reference count, and never
 * changes. One mutex, held for a look-up only. Private to one process; a crash loses nothing that cannot be opened
 * again. */
#ifndef CACHE_PICTURES_H
#define CACHE_PICTURES_H

#include "cache/origin.h"
#include "shm/fences.h"
#include "shm/pyramid_index.h"
#include "shm/sightings.h"
#include "worker/image/colour.h"
#include "worker/image/source.h"

struct picture {
    struct image_pyramid pyramid;
    uint64_t version_hash;
    int64_t modified_s; /* of the source, in seconds since 1970 */
    /* NULL where only the shape is known; see pictures_open(). */
    struct image_source *source;
    struct image_colour *colour;
    const char *note; /* what was ignored about its colour profile, for the log; or NULL */
};

struct pictures;

struct pictures_options {
    struct origin *origin;
    uint64_t root;           /* tells these image roots from others in the same index */
    uint64_t view;           /* tells them from those before a reload, in the sightings */
    struct shm_index *index; /* or NULL */
    struct shm_sightings *sightings;
    struct image_source_limits limits;
    uint32_t capacity;
    int64_t revalidate_ms;
    const struct shm_fences *fences;      /* what they meet is opened anew; or NULL */
    const _Atomic int64_t *distrusted_ms; /* monotonic: what was compared before is not believed; or NULL */
};

RC_MUST_USE enum rc pictures_new(const struct pictures_options *options, struct pictures **ret_pictures,
                                 struct err *err);
/* Every reference must have been given back. Leaves the origin and the index open. */
void pictures_free(struct pictures **pictures);

/* The picture if its source was compared less than `revalidate_ms` ago, by whichever worker, and is known; else NULL. Its
 * source may be NULL. *ret_ages: more than half of that time is over, and the caller is the one to see that it is compared
 * meanwhile, so that those who come later need not wait for that; NULL: it is not. For the event thread: no system call. */
struct picture *pictures_peek(struct pictures *pictures, const char *path, uint32_t page, bool *ret_ages);
/* Compares what is known with its source and opens nothing: when it was replaced, it is forgotten. Blocks on the file system. */
void pictures_compare(struct pictures *pictures, const char *path, uint32_t page);
/* The picture's shape as the source is now: compares, and opens only what nobody knows. Its source may be NULL. Blocks on the
 * file system. *ret_opened tells whether it was opened just now (for the log). Codes of pictures_open(). */
RC_MUST_USE enum rc pictures_look(struct pictures *pictures, const char *path, uint32_t page,
                                  struct picture **ret_picture, bool *ret_opened, struct err *err);
/* The same with source and colour, ready for pixels. Codes of origin_open_blob() and image_source_open(). */
RC_MUST_USE enum rc pictures_open(struct pictures *pictures, const char *path, uint32_t page,
                                  struct picture **ret_picture, bool *ret_opened, struct err *err);
/* Before a purge of the source: the index forgets it, so that it is parsed anew whatever its version. Render threads. */
void pictures_purge(struct pictures *pictures, const char *path);
/* Gives a reference back; the variable becomes NULL. */
void pictures_release(struct pictures *pictures, struct picture **picture);

#endif
