#include "cache/remote_wanted.h"

#include "cache/remote_claims.h"

#define JOIN_BLOCKS  2u  /* so much that nobody asked for is cheaper than another request */
#define HEAD_BLOCKS  32u /* of which directories and tables may take this much */
#define HEAD_RUN     4u
#define MOST_FLIGHTS 64u /* started at a time; the rest when those have landed */

/* At the head of a file one thing leads to the next: what lies around a missing block is likely to be asked for in the next round. */
static void widen_at_head(struct remote_content *content, uint64_t *first, uint64_t *last)
{
    uint64_t count = block_file_count(content->blocks);
    if (*first >= HEAD_BLOCKS)
        return;
    while (*first > 0 && *last - *first + 1 < HEAD_RUN && !block_file_has(content->blocks, *first - 1) &&
           !remote_bit(content->flying, *first - 1))
        --*first;
    while (*last + 1 < count && *last - *first + 1 < HEAD_RUN && !remote_bit(content->flying, *last + 1))
        ++*last;
}

/* The next run of wanted blocks from *at on that are neither here nor on their way. */
static bool next_run(struct remote_content *content, uint64_t *at, uint64_t *ret_first, uint64_t *ret_count)
{
    uint64_t count = block_file_count(content->blocks), first = 0, last = 0;
    bool found = false;
    for (; *at < count; ++*at) {
        bool missing = remote_bit(content->wanted, *at) && !remote_bit(content->flying, *at);
        if (missing && block_file_has(content->blocks, *at)) {
            remote_set_bit(content->wanted, *at, false);
            missing = false;
        }
        if (found && (*at - last > JOIN_BLOCKS + 1 || remote_bit(content->flying, *at)))
            break;
        if (missing) {
            first = found ? first : *at;
            last = *at;
            found = true;
        }
    }
    if (found)
        widen_at_head(content, &first, &last);
    *at = *at > last ? *at : last + 1;
    *ret_first = first;
    *ret_count = last - first + 1;
    return found;
}

/* ---- beside the other workers ---- */

enum whose { OURS, THEIRS, HERE };

/* Whose a block is to fetch; claims it. It may have come after it was looked for, and before it was claimed. */
static enum whose claim_block(struct remote_content *content, uint64_t block)
{
    if (!content->remote->shares)
        return OURS;
    if (!remote_claim_block(content, block))
        return THEIRS;
    if (!block_file_has(content->blocks, block))
        return OURS;
    remote_give_back_block(content, block);
    return HERE;
}

static bool any_wanted(const struct remote_content *content, uint64_t first, uint64_t end)
{
    while (first < end && !remote_bit(content->wanted, first))
        first++;
    return first < end;
}

/* Blocks in a row that are all this worker's to fetch, or all somebody else's. */
static enum rc set_out_part(struct remote_file *file, uint64_t first, uint64_t end, bool ours,
                            struct remote_flight **flights, struct err *err)
{
    struct remote_content *content = file->content;
    struct remote_flight *flight = NULL;
    uint64_t offset = first * BLOCK_BYTES,
             left = block_file_subject(content->blocks)->version.size_bytes - offset;
    uint64_t length = (end - first) * BLOCK_BYTES < left ? (end - first) * BLOCK_BYTES : left;
    bool wanted = any_wanted(content, first, end); /* what was to come along comes with nothing now */
    enum rc rc = wanted ? remote_flight_new(file, offset, length, false, ours, flights, &flight, err) : RC_OK;
    if (flight == NULL) {
        for (uint64_t block = first; ours && block < end; block++)
            remote_give_back_block(content, block);
        return rc;
    }
    flight->first_block = first;
    flight->block_count = end - first;
    for (uint64_t block = first; block < end; block++) {
        remote_set_bit(content->wanted, block, false);
        remote_set_bit(content->flying, block, true);
    }
    return RC_OK;
}

static enum rc set_out_run(struct remote_file *file, uint64_t first, uint64_t count,
                           struct remote_flight **flights, struct err *err)
{
    struct remote_content *content = file->content;
    uint64_t end = first + count;
    enum whose whose = claim_block(content, first);
    enum rc rc = RC_OK;
    for (uint64_t at = first, begin = first; rc == RC_OK && begin < end; begin = at) {
        enum whose now = whose;
        for (at = begin + 1; at < end && (whose = claim_block(content, at)) == now;)
            at++;
        if (now != HERE)
            rc = set_out_part(file, begin, at, now == OURS, flights, err);
        for (uint64_t block = begin; now == HERE && block < at; block++)
            remote_set_bit(content->wanted, block, false);
    }
    return rc;
}

enum rc remote_wanted_fetch(struct remote_file *file, struct remote_flight **flights, struct err *err)
{
    struct remote_content *content = file->content;
    uint64_t at = 0, first = 0, count = 0;
    if (!content->any_wanted)
        return RC_OK;
    content->any_wanted = false;
    for (uint32_t i = 0; i < MOST_FLIGHTS && next_run(content, &at, &first, &count); i++) {
        enum rc rc = set_out_run(file, first, count, flights, err);
        if (rc != RC_OK)
            return file->flights != NULL ? RC_OK : rc;
    }
    return RC_OK;
}
