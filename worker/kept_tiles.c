#include "worker/kept_tiles.h"

#include "base/own.h"
#include "base/recent.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define BUCKETS    4096u
#define SEEN       16384u /* marks of what was asked for lately */
#define MOST_BYTES 65536u /* of one tile */

struct entry {
    struct kept_tile tile; /* first */
    struct recent_entry recent;
    uint64_t version, counted_bytes;
    atomic_uint references; /* one of them is the table's own; the last may go when the server stops */
    const char *base_url, *path;
    char target[]; /* and the other texts, each with its end */
};

struct kept_tiles {
    uint64_t most_bytes, bytes;
    int64_t purged_ms; /* before what is there was read */
    struct recent listed;
    struct recent_entry *bucket[BUCKETS];
    uint32_t seen[SEEN];
};

enum rc kept_tiles_new(uint64_t most_bytes, struct kept_tiles **ret_tiles, struct err *err)
{
    struct kept_tiles *tiles = calloc(1, sizeof *tiles);
    if (tiles == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for the table of tiles");
    tiles->most_bytes = most_bytes;
    tiles->listed = (struct recent){.bucket = tiles->bucket, .bucket_count = BUCKETS};
    *ret_tiles = tiles;
    return RC_OK;
}

static void let_go(void *context)
{
    struct entry *entry = context;
    if (atomic_fetch_sub_explicit(&entry->references, 1, memory_order_acq_rel) > 1)
        return;
    bytes_done(&entry->tile.body);
    free(entry);
}

/* ---- the table ---- */

static struct entry *entry_of(struct recent_entry *at)
{
    return at == NULL ? NULL : RECENT_THING(at, struct entry, recent);
}

static void unlist(struct kept_tiles *tiles, struct entry *entry)
{
    recent_unlist(&tiles->listed, &entry->recent);
    tiles->bytes -= entry->counted_bytes;
    let_go(entry);
}

static void list(struct kept_tiles *tiles, struct entry *entry, uint64_t hash)
{
    recent_list(&tiles->listed, &entry->recent, hash);
    tiles->bytes += entry->counted_bytes;
    while (tiles->bytes > tiles->most_bytes)
        unlist(tiles, entry_of(tiles->listed.oldest));
}

void kept_tiles_free(struct kept_tiles **tiles)
{
    struct kept_tiles *freed = TAKE_PTR(*tiles);
    while (freed != NULL && freed->listed.oldest != NULL)
        unlist(freed, entry_of(freed->listed.oldest));
    free(freed);
}

static uint64_t hash_of(const struct kept_tile_name *name)
{
    return bytes_hash(BYTES_HASH_START, name->target, strlen(name->target));
}

/* Of the same target and base URL, whatever source and version. */
static struct entry *find(struct kept_tiles *tiles, const struct kept_tile_name *name, uint64_t hash)
{
    struct recent_entry *at = recent_first(&tiles->listed, hash);
    while (at != NULL && (strcmp(entry_of(at)->target, name->target) != 0 ||
                          strcmp(entry_of(at)->base_url, name->base_url) != 0))
        at = recent_next(at);
    return entry_of(at);
}

struct kept_tile *kept_tiles_find(struct kept_tiles *tiles, const struct kept_tile_name *name,
                                  int64_t purged_ms)
{
    if (purged_ms != tiles->purged_ms) {
        while (tiles->listed.oldest != NULL)
            unlist(tiles, entry_of(tiles->listed.oldest));
        tiles->purged_ms = purged_ms;
    }
    struct entry *entry = tiles->listed.oldest == NULL ? NULL : find(tiles, name, hash_of(name));
    if (entry == NULL)
        return NULL;
    if (entry->version != name->version || strcmp(entry->path, name->path) != 0) {
        unlist(tiles, entry);
        return NULL;
    }
    recent_use(&tiles->listed, &entry->recent);
    return &entry->tile;
}

struct http_content kept_tile_content(struct kept_tile *tile)
{
    struct entry *entry = (struct entry *)tile;
    atomic_fetch_add_explicit(&entry->references, 1, memory_order_relaxed);
    return (struct http_content){
        .length = tile->body.length, .data = tile->body.data, .fd = -1, .release = let_go, .context = entry};
}

/* ---- new ones ---- */

/* Whether it was asked for before, as far as is remembered. */
static bool was_seen(struct kept_tiles *tiles, uint64_t hash)
{
    uint32_t *mark = &tiles->seen[hash % SEEN], own = (uint32_t)(hash >> 32) | 1;
    bool was = *mark == own;
    *mark = own;
    return was;
}

static char *put(char **to, const char *text)
{
    char *start = *to;
    size_t bytes = strlen(text) + 1;
    memcpy(start, text, bytes);
    *to += bytes;
    return start;
}

static struct entry *entry_new(const struct kept_tile_name *name,
                               const struct http_representation *representation)
{
    assert(representation->vary == NULL && representation->header_count == 2);
    size_t text_bytes = strlen(name->target) + strlen(name->base_url) + strlen(name->path) +
                        strlen(representation->etag) + strlen(representation->header[1].value) + 5;
    struct entry *entry = calloc(1, sizeof *entry + text_bytes);
    if (entry == NULL)
        return NULL;
    char *to = entry->target;
    put(&to, name->target);
    entry->base_url = put(&to, name->base_url);
    entry->path = put(&to, name->path);
    entry->tile.representation = *representation;
    entry->tile.representation.etag = put(&to, representation->etag);
    entry->tile.representation.header[1].value = put(&to, representation->header[1].value);
    entry->version = name->version;
    atomic_init(&entry->references, 1);
    entry->counted_bytes = sizeof *entry + text_bytes;
    return entry;
}

void kept_tiles_offer(struct kept_tiles *tiles, const struct kept_tile_name *name,
                      const struct http_representation *representation, uint8_t class, struct bytes *body,
                      struct http_content *ret_content)
{
    struct entry *entry = NULL;
    uint64_t hash = hash_of(name);
    if (tiles->most_bytes > 0 && body->length <= MOST_BYTES && was_seen(tiles, hash))
        entry = entry_new(name, representation);
    if (entry == NULL) {
        *ret_content = (struct http_content){
            .length = body->length, .data = body->data, .fd = -1, .release = free, .context = body->data};
        *body = (struct bytes){0};
        return;
    }
    entry->tile.class = class;
    entry->tile.body = *body;
    entry->counted_bytes += body->capacity;
    *body = (struct bytes){0};
    *ret_content = kept_tile_content(&entry->tile);
    struct entry *older = find(tiles, name, hash);
    if (older != NULL)
        unlist(tiles, older);
    list(tiles, entry, hash);
}
