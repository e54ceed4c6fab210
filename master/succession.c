#include "master/succession.h"

#include "base/clock.h"
#include "master/crew.h"

#include <signal.h>

#define PATIENCE_MS 30000 /* until the new workers must be READY */
#define MOST_KILLS  8     /* somebody, or the system for lack of memory, does not want them */

void master_succession_begin(struct master_crew *crew, const struct settings *settings, uint32_t wanted)
{
    crew->next = (struct master_succession){.settings = settings,
                                            .wanted = wanted,
                                            .generation = ++crew->generations,
                                            .deadline_ms = clock_monotonic_ms() + PATIENCE_MS};
}

static bool is_free(const struct master_child *child)
{
    return child->state == CHILD_NONE && child->pid == 0 && child->respawn_at_ms == 0;
}

static void discard(struct master_child *child)
{
    child->is_discarded = true;
    master_child_kill(child, SIGKILL);
}

/* So many places for workers are there that generations which still retire are rarely in the way. */
static uint32_t count_places(const struct master_crew *crew)
{
    uint32_t most = 2 * (crew->wanted + crew->next.wanted);
    return most < SHM_MAX_WORKERS ? most : SHM_MAX_WORKERS;
}

/* Forks the new workers, all or none: where places lack, those that still retire have to make room, and the
 * others go on with what they have. */
static void fork_all(struct master_crew *crew)
{
    uint32_t places = count_places(crew), room = 0;
    for (uint32_t i = 0; i < places; i++)
        room += is_free(&crew->child[i]);
    for (uint32_t i = 0; i < crew->count && room < crew->next.wanted; i++)
        if (crew->child[i].state == CHILD_RETIRING)
            discard(&crew->child[i]);
    if (room < crew->next.wanted)
        return; /* their ends are events */
    crew->next.is_forked = true;
    uint32_t left = crew->next.wanted;
    for (uint32_t i = 0; i < places && left > 0 && !crew->next.has_failed; i++) {
        struct master_child *child = &crew->child[i];
        if (!is_free(child))
            continue;
        child->generation = crew->next.generation;
        if (crew->count <= i)
            crew->count = i + 1;
        crew->next.has_failed = !master_crew_spawn(crew, child);
        left--;
    }
}

static bool is_ready(const struct master_crew *crew)
{
    uint32_t ready = 0;
    for (uint32_t i = 0; i < crew->count; i++)
        ready += crew->child[i].state == CHILD_READY && crew->child[i].generation == crew->next.generation;
    return ready == crew->next.wanted;
}

static void change_over(struct master_crew *crew)
{
    uint32_t old = crew->generation;
    for (uint32_t i = 0; i < crew->count; i++) {
        struct master_child *child = &crew->child[i];
        if (child->generation == crew->next.generation && child->state == CHILD_READY) {
            master_crew_set_state(crew, child, CHILD_SERVING);
        } else if (child->generation == old) {
            child->respawn_at_ms = 0;
            if (child->state == CHILD_SERVING)
                master_crew_retire(crew, child);
            else if (child->state == CHILD_STARTING)
                discard(child);
        }
    }
    crew->settings = crew->next.settings;
    crew->wanted = crew->next.wanted;
    crew->generation = crew->next.generation;
    crew->ran_well = true;
    crew->attempts_failed = 0;
    crew->hold_until_ms = 0;
    crew->next = (struct master_succession){0};
}

enum master_succession_state master_succession_due(struct master_crew *crew, int64_t now_ms, int64_t *next_ms)
{
    struct master_succession *next = &crew->next;
    if (next->settings == NULL)
        return SUCCESSION_NONE;
    if (!next->is_forked)
        fork_all(crew);
    if (next->has_failed || next->deadline_ms <= now_ms) {
        log_error(next->has_failed ? "the new workers do not come up, the old ones go on"
                                   : "the new workers do not come up in time, the old ones go on");
        master_succession_abandon(crew);
        return SUCCESSION_FAILED;
    }
    if (next->is_forked && is_ready(crew)) {
        change_over(crew);
        return SUCCESSION_DONE;
    }
    *next_ms = clock_earlier_ms(*next_ms, next->deadline_ms);
    return SUCCESSION_COMING;
}

void master_succession_abandon(struct master_crew *crew)
{
    if (crew->next.settings == NULL)
        return;
    for (uint32_t i = 0; i < crew->count; i++)
        if (crew->child[i].generation == crew->next.generation && crew->next.is_forked) {
            crew->child[i].respawn_at_ms = 0;
            discard(&crew->child[i]);
        }
    crew->next = (struct master_succession){0};
}

bool master_succession_ended(struct master_crew *crew, const struct master_child *child, bool was_killed)
{
    if (child->generation == crew->generation)
        return false;
    if (crew->next.settings == NULL || child->generation != crew->next.generation)
        return true;
    if (!child->was_ready && (!was_killed || ++crew->next.kills > MOST_KILLS))
        crew->next.has_failed = true;
    return crew->next.has_failed;
}
