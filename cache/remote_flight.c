#include "cache/remote_flight.h"

#include "base/clock.h"
#include "base/own.h"
#include "cache/remote_claims.h"
#include "cache/remote_stale.h"

#include <stdio.h>
#include <string.h>

#define FIRST_BYTES 65536u /* of an unknown file: header and directories, in most */
/* Times in a row that not one part of a version came: it is not waited for any longer. */
#define MOST_REPLACED 8u

static struct remote_flight *flight_of(struct transport_fetch *fetch)
{
    return (struct remote_flight *)fetch;
}

/* ---- arriving ---- */

/* An origin that neither tags nor dates its files: its version is told by its size and its first block. */
static bool is_bare(const struct transport_answer *answer)
{
    return answer->etag[0] == '\0' && answer->version.inode == 0 && answer->version.modified.tv_sec == 0;
}

/* Whether a part may be of that version, as far as is said. */
static bool may_be_part(const struct block_subject *subject, const struct transport_answer *answer)
{
    return subject->version.size_bytes == answer->version.size_bytes && subject->etag[0] == '\0' &&
           subject->version.modified.tv_sec == 0;
}

/* By the ETag alone where it is a strong one: a store gives the same bytes another date when they are put there again. */
static bool is_same(const struct block_subject *subject, const struct transport_answer *answer)
{
    if (answer->etag[0] == '"')
        return subject->version.size_bytes == answer->version.size_bytes &&
               strcmp(subject->etag, answer->etag) == 0;
    return origin_version_hash(&subject->version) == origin_version_hash(&answer->version) &&
           strcmp(subject->etag, answer->etag) == 0;
}

/* A look has found a file that was not known: room for its blocks. */
static enum rc take_in(struct remote_flight *flight, const struct transport_answer *answer, struct err *err)
{
    struct remote *remote = flight->file->remote;
    struct block_subject subject = {.version = answer->version};
    struct block_file *blocks = NULL;
    struct remote_content *content = NULL;
    snprintf(subject.etag, sizeof subject.etag, "%s", answer->etag);
    if (!remote_name(remote, flight->file->path, subject.name))
        return err_set(err, RC_NOT_FOUND, "the image's name is too long");
    enum rc rc = block_store_create(remote->store, &subject, &blocks, err);
    if (rc == RC_OK)
        rc = remote_content_new(remote, blocks, &content, err);
    if (rc != RC_OK)
        return rc;
    remote_content_unref(flight->content);
    flight->content = content;
    return RC_OK;
}

static enum rc on_begin(struct transport_fetch *fetch, const struct transport_answer *answer, struct err *err)
{
    struct remote_flight *flight = flight_of(fetch);
    const struct remote *remote = flight->file->remote;
    flight->at = answer->offset;
    flight->unchanged = answer->unchanged;
    if (answer->unchanged) { /* of what was asked about, whatever an earlier try has found */
        remote_content_unref(flight->content);
        flight->content = remote_content_ref(flight->asked);
        return RC_OK;
    }
    bool waits_for_first = fetch->first && is_bare(answer) && answer->version.size_bytes > 0, same = false;
    if (flight->content != NULL && !answer->replaced)
        same = !fetch->first && is_bare(answer)
                   ? may_be_part(block_file_subject(flight->content->blocks), answer)
                   : is_same(block_file_subject(flight->content->blocks), answer);
    if (!fetch->first && !same) {
        flight->replaced = true;
        return err_set(err, RC_AWAY, "the source was replaced while it was read");
    }
    if (answer->whole && answer->version.size_bytes > fetch->length &&
        answer->version.size_bytes > (uint64_t)remote->options.most_whole_bytes)
        return err_set(
            err, RC_TOO_LARGE,
            "the origin sends files only as a whole, and this one has %llu bytes, more than whole_file_limit",
            (unsigned long long)answer->version.size_bytes);
    flight->waits_for_first = waits_for_first;
    if (waits_for_first) {
        flight->bare = *answer;
        return RC_OK;
    }
    return same ? RC_OK : take_in(flight, answer, err);
}

/* The first block of a file that nothing else is said of. */
static enum rc tell_by_first(struct remote_flight *flight, const uint8_t *data, size_t length,
                             struct err *err)
{
    flight->waits_for_first = false;
    flight->bare.version.inode = bytes_hash(BYTES_HASH_START, data, length) | 1;
    if (flight->asked == NULL || !is_same(block_file_subject(flight->asked->blocks), &flight->bare))
        return take_in(flight, &flight->bare, err);
    remote_content_unref(flight->content);
    flight->content = remote_content_ref(flight->asked);
    return RC_OK;
}

static enum rc keep(struct remote_flight *flight, uint64_t block, const uint8_t *data, struct err *err)
{
    struct remote *remote = flight->file->remote;
    enum rc rc = block_file_write(flight->content->blocks, block, data, err);
    if (rc == RC_NO_MEMORY) {
        pthread_mutex_lock(&remote->mutex);
        remote_known_make_room(remote);
        pthread_mutex_unlock(&remote->mutex);
        rc = block_file_write(flight->content->blocks, block, data, err);
    }
    if (rc != RC_OK)
        return rc;
    remote_give_back_block(flight->content, block); /* others may have it from now on */
    block_store_grew(remote->store, BLOCK_BYTES);
    return RC_OK;
}

/* Cuts what comes into blocks. A part of a block at the beginning (an origin that starts where it likes) is left out. */
static enum rc on_take(struct transport_fetch *fetch, const void *data, size_t length, struct err *err)
{
    struct remote_flight *flight = flight_of(fetch);
    const uint8_t *from = data;
    remote_claim_longer(flight);
    uint64_t size = flight->waits_for_first ? flight->bare.version.size_bytes
                                            : block_file_subject(flight->content->blocks)->version.size_bytes;
    while (length > 0) {
        if (flight->at >= size)
            return err_set(err, RC_ORIGIN, "the origin sends more bytes than the file has");
        uint64_t block = flight->at / BLOCK_BYTES,
                 end = (block + 1) * BLOCK_BYTES < size ? (block + 1) * BLOCK_BYTES : size;
        size_t inside = flight->at % BLOCK_BYTES,
               some = end - flight->at < length ? (size_t)(end - flight->at) : length;
        if (flight->block == NULL && (flight->block = malloc(BLOCK_BYTES)) == NULL)
            return err_set(err, RC_NO_MEMORY, "no memory for what is fetched");
        memcpy(flight->block + inside, from, some);
        flight->at += some;
        from += some;
        length -= some;
        enum rc rc = RC_OK;
        if (flight->at == end && flight->waits_for_first)
            rc = tell_by_first(flight, flight->block, (size_t)(end - block * BLOCK_BYTES), err);
        if (flight->at == end && rc == RC_OK)
            rc = keep(flight, block, flight->block, err);
        if (rc != RC_OK)
            return rc;
    }
    return RC_OK;
}

/* ---- landing ---- */

/* What is kept of the file may not be served any more, not while the origin is away either, by nobody. */
static void forget_confirmed(struct remote_file *file, bool is_gone)
{
    if (file->content != NULL)
        block_file_confirm(file->content->blocks, 0);
    file->checked_ms = 0;
    if (!is_gone) /* it may be had again, as it is kept here */
        return;
    remote_content_unref(file->content);
    file->content = NULL;
}

/* What a look has found out. Under the lock. *rc becomes what its waiters hear. */
static void land_look(struct remote_flight *flight, enum rc *rc, const struct err *err)
{
    struct remote_file *file = flight->file;
    struct remote *remote = file->remote;
    file->looking = false;
    if (*rc == RC_OK && flight->elsewhere)
        return; /* who starts over now learns from the store what the other has found out */
    if (*rc == RC_OK && !remote_known_is_trusted(remote, file->looked_ms))
        return; /* asked before a purge: who starts over asks again */
    if (*rc == RC_OK) {
        if (file->content != flight->content) {
            remote_content_unref(file->content);
            file->content = remote_content_ref(flight->content);
        }
        block_file_confirm(file->content->blocks, clock_wall_ms());
        file->checked_ms = clock_monotonic_ms();
    } else if (remote_stale_is_weather(*rc) && remote_stale_is_kept(file)) {
        remote_stale_complain(remote, file->path, err->message);
        file->checked_ms = clock_monotonic_ms();
        *rc = RC_OK;
        return; /* it may also be known to be absent */
    } else if (*rc == RC_NOT_FOUND || *rc == RC_FORBIDDEN) {
        forget_confirmed(file, *rc == RC_NOT_FOUND);
    }
    file->absent_ms = *rc == RC_NOT_FOUND ? clock_monotonic_ms() : 0;
    file->refused_ms = *rc == RC_FORBIDDEN ? clock_monotonic_ms() : 0;
}

/* Whether what it was to bring is here all the same: this worker stood still, say, and another one has taken over. */
static bool is_all_here(const struct remote_flight *flight)
{
    uint64_t here = 0;
    while (here < flight->block_count && block_file_has(flight->content->blocks, flight->first_block + here))
        here++;
    return here == flight->block_count;
}

/* Under the lock. *rc becomes what its waiters hear, with *err where it is another than it was. */
static void land_part(struct remote_flight *flight, enum rc *rc, struct err *err)
{
    struct remote_file *file = flight->file;
    for (uint64_t i = 0; i < flight->block_count; i++)
        remote_set_bit(flight->content->flying, flight->first_block + i, false);
    if (remote_stale_is_weather(*rc) && is_all_here(flight))
        *rc = RC_OK;
    if (!flight->replaced) {
        file->replaced = *rc == RC_OK && !flight->elsewhere ? 0 : file->replaced;
        return;
    }
    /* Whoever waits starts over, finds nothing known and has the file looked at. */
    if (file->content == flight->content) {
        forget_confirmed(file, true);
        file->replaced++;
    }
    *rc = RC_OK;
    if (file->replaced < MOST_REPLACED)
        return;
    file->replaced = 0;
    *rc = err_set(err, RC_BUSY, "image '%.150s' changes faster than it can be read, please try again",
                  file->path);
    err->retry_s = 1;
}

/* Takes out the waiters that have nothing left to wait for, or that waited for what failed. Under the lock. */
static struct origin_waiter *take_waiters(struct remote_file *file, const struct remote_flight *landed,
                                          enum rc rc)
{
    uint64_t first_left = UINT64_MAX;
    for (const struct remote_flight *flight = file->flights; flight != NULL; flight = flight->next)
        first_left = flight->number < first_left ? flight->number : first_left;
    struct origin_waiter *taken = NULL, **link = &file->waiters;
    while (*link != NULL) {
        struct origin_waiter *waiter = *link;
        if (waiter->until <= first_left || (rc != RC_OK && landed->number < waiter->until)) {
            *link = waiter->next;
            waiter->next = taken;
            taken = waiter;
        } else {
            link = &waiter->next;
        }
    }
    return taken;
}

void remote_flight_land(struct remote_flight *flight, enum rc rc, const struct err *err)
{
    struct remote_file *file = flight->file;
    struct remote *remote = file->remote;
    enum rc how = rc;
    struct err said;
    if (rc != RC_OK)
        said = *err;
    pthread_mutex_lock(&remote->mutex);
    struct remote_flight **link = &file->flights;
    while (*link != flight)
        link = &(*link)->next;
    *link = flight->next;
    if (!flight->elsewhere)
        remote_stale_hear(remote, rc);
    if (flight->fetch.first)
        land_look(flight, &rc, err);
    else
        land_part(flight, &rc, &said);
    struct origin_waiter *waiters = take_waiters(file, flight, rc);
    remote_give_back(flight, how,
                     err); /* under the mutex: the file is there as long as it has flights or waiters */
    pthread_mutex_unlock(&remote->mutex);
    remote_content_unref(flight->content);
    remote_content_unref(flight->asked);
    free(flight->block);
    free(flight);
    while (waiters != NULL) {
        struct origin_waiter *waiter = waiters;
        waiters = waiter->next;
        waiter->ready(waiter, rc, rc != RC_OK ? &said : NULL);
    }
}

/* Whether it has brought anything that can be kept, or that nothing is new: who asks again for what never comes would do so for ever. */
static bool has_come(const struct remote_flight *flight)
{
    if (flight->unchanged || flight->waits_for_first)
        return flight->unchanged;
    uint64_t size = block_file_subject(flight->content->blocks)->version.size_bytes,
             least = flight->fetch.offset + BLOCK_BYTES;
    return flight->at >= (least < size ? least : size);
}

static void on_done(struct transport_fetch *fetch, enum rc rc, const struct err *err)
{
    struct remote_flight *flight = flight_of(fetch);
    struct err short_err;
    if (rc == RC_OK && !has_come(flight)) {
        rc = err_set(&short_err, RC_ORIGIN, "the origin sends less of '%.150s' than it was asked for",
                     fetch->path);
        err = &short_err;
    }
    remote_flight_land(flight, rc, err);
}

/* ---- setting out ---- */

enum rc remote_flight_new(struct remote_file *file, uint64_t offset, uint64_t length, bool first, bool ours,
                          struct remote_flight **flights, struct remote_flight **ret_flight, struct err *err)
{
    struct remote_flight *flight = calloc(1, sizeof *flight);
    if (flight == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory to fetch parts of the source");
    flight->file = file;
    flight->content = file->content != NULL ? remote_content_ref(file->content) : NULL;
    flight->number = file->next_number++;
    flight->claimed_ms = clock_monotonic_ms();
    flight->fetch = (struct transport_fetch){.path = file->path,
                                             .offset = offset,
                                             .length = length,
                                             .first = first,
                                             .begin = on_begin,
                                             .take = on_take,
                                             .done = on_done};
    if (file->content != NULL) {
        flight->asked = remote_content_ref(file->content);
        flight->fetch.known = &block_file_subject(flight->asked->blocks)->version;
        flight->fetch.etag = block_file_subject(flight->asked->blocks)->etag;
    }
    flight->next = file->flights;
    file->flights = flight;
    if (!ours) {
        remote_watch_flight(flight);
    } else {
        flight->start_next = *flights;
        *flights = flight;
    }
    *ret_flight = flight;
    return RC_OK;
}

enum rc remote_flight_look(struct remote_file *file, struct remote_flight **flights, struct err *err)
{
    struct remote_flight *flight;
    if (file->looking)
        return RC_OK;
    bool ours = remote_claim_look(file->remote, file->path);
    enum rc rc = remote_flight_new(file, 0, FIRST_BYTES, true, ours, flights, &flight, err);
    file->looking = rc == RC_OK;
    if (rc == RC_OK)
        remote_stale_expect(file);
    return rc;
}
