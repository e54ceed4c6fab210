/* Searching a roll of names: text in, places out. Pure; any thread.
 *
 * A roll is two texts of the same length: lines of paths, and the same lines folded, so that case does not
 * count while every character stays where it was. A path matches when each word is somewhere in it. The
 * longest word leads from line to line (memmem), so that a name is looked at only where that is found. */
#ifndef WORKER_WEB_ROLL_SEARCH_H
#define WORKER_WEB_ROLL_SEARCH_H

#include "base/bytes.h"

#include <stdbool.h>

#define WEB_MOST_WORDS   8u
#define WEB_MOST_MATCHES 10000u /* beyond these nobody counts */

/* Small letters for capitals: ASCII, and those of Latin-1, Latin Extended-A, Greek and Cyrillic in UTF-8.
 * Every character keeps its length; what is no UTF-8 stays. */
void web_roll_fold(uint8_t *text, size_t length);

struct web_roll_text {
    const uint8_t *line, *folded; /* each line ends with '\n' */
    size_t length;
};

struct web_roll_match {
    const char *path; /* within the roll */
    size_t length;
};

struct web_roll_wanted {
    const char *words;  /* separated by blanks; none match nothing */
    const char *folder; /* only what is below it, whose lines follow each other; "": everywhere */
    size_t from, room;  /* the matches from that one on, so many at most */
};

struct web_roll_found {
    struct web_roll_match *match; /* the caller's, with room */
    size_t count, total;
    bool is_more; /* it gave up counting at WEB_MOST_MATCHES */
};

/* RC_NO_MEMORY. */
RC_MUST_USE enum rc web_roll_find(const struct web_roll_text *roll, const struct web_roll_wanted *wanted,
                                  struct web_roll_found *found, struct err *err);

#endif
