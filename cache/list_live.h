/* A list of a server that runs (cache/list_map.h): the map in use, and the making of another while requests are answered from the old one.
 *
 * Each worker has one, opened before it enters its box, while the text can still be reached. Where the map in the cache directory was not made of
 * this state of the text, a thread makes it anew; one worker does, the others wait for it without holding anything up. So a changed text is
 * taken up by HUP, which starts new workers. One with wrong lines is logged, once, and the map before it stays. A crash lets another
 * worker make it. */
#ifndef CACHE_LIST_LIVE_H
#define CACHE_LIST_LIVE_H

#include "cache/list_map.h"

/* Strings live as long as the list. */
struct list_live_options {
    const struct list_map_kind *kind;
    const char *setting;    /* that names the text */
    const char *file;       /* the text */
    const char *folder;     /* of the cache directory: the map is FOLDER/NAME.mdb */
    const char *name;       /* and who makes it locks FOLDER/NAME.lock */
    uint64_t settings_hash; /* of what else the map is made of */
    const char *entries;    /* what a person calls them: "rows of the catalogue" */
    const char *former;     /* that the old map is used on: "the catalogue from before stays" */
    /* Makes the map. RC_CORRUPT: lines are wrong, each was told. */
    enum rc (*load)(const struct list_live_options *options, int text_fd, const char *map_path,
                    list_problem *problem, void *context, uint64_t *ret_count, struct err *err);
    const char *settings; /* for load() */
};

struct list_live;

/* RC_IO: the text cannot be opened. RC_NO_MEMORY. */
RC_MUST_USE enum rc list_live_open(const struct list_live_options *options, struct list_live **ret_live,
                                   struct err *err);
/* Starts the thread where there is something to make. After the box. NULL: there is no such list. RC_NO_MEMORY. */
RC_MUST_USE enum rc list_live_start(struct list_live *live, struct err *err);
void list_live_close(struct list_live **live); /* fits OWN() */

/* The map in use, until the end; NULL: there is none (yet), or no such list. Any thread. */
const struct list_map *list_live_now(const struct list_live *live);

#endif
