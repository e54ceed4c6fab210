/* How a new generation of workers, with other settings, takes the place of the old one.
 *
 * The new workers are forked beside the old ones, which go on serving. Once all of the new ones have said
 * READY the old ones retire: each gives its connections back, one by one between two requests, and the new
 * ones go on with them. When a new worker ends before it is READY, or takes too long, the new ones are
 * killed and nothing has changed. Part of the crew; the supervisor's one thread. */
#ifndef MASTER_SUCCESSION_H
#define MASTER_SUCCESSION_H

#include "base/settings.h"

#include <stdbool.h>
#include <stdint.h>

struct master_crew;
struct master_child;

enum master_succession_state {
    SUCCESSION_NONE,
    SUCCESSION_COMING,
    SUCCESSION_DONE,   /* the new generation serves; the former settings are not needed any more */
    SUCCESSION_FAILED, /* the old one goes on; the new settings are not needed any more */
};

/* The generation that is to come; part of struct master_crew. */
struct master_succession {
    const struct settings *settings; /* NULL: none is coming */
    uint32_t wanted, generation;
    bool is_forked, has_failed;
    unsigned kills; /* of new workers, by others, before they were READY */
    int64_t deadline_ms;
};

/* Begins with `wanted` new workers. None is coming yet; `settings` lives until the state is no longer
 * COMING, and as long as its generation serves. */
void master_succession_begin(struct master_crew *crew, const struct settings *settings, uint32_t wanted);
/* Goes on as far as it can; DONE and FAILED are said once. *next_ms becomes the time of the next call, if
 * that is earlier. */
enum master_succession_state master_succession_due(struct master_crew *crew, int64_t now_ms,
                                                   int64_t *next_ms);
/* The new workers are killed, if there are any. */
void master_succession_abandon(struct master_crew *crew);

/* A worker has ended: true when it is not to be replaced, since it is not of the generation that serves, nor
 * of one that comes up well. `was_killed`: by SIGKILL, which says nothing about the settings. */
bool master_succession_ended(struct master_crew *crew, const struct master_child *child, bool was_killed);

#endif
