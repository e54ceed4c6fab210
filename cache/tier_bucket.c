#include "base/own.h"
#include "cache/s3_store.h"
#include "cache/tier_place.h"

#include <string.h>

struct bucket {
    struct tier_place place; /* first */
    struct s3_store *store;
    char *url;
};

static struct s3_store *store_of(struct tier_place *place)
{
    return ((struct bucket *)place)->store;
}

static enum rc bucket_start(struct tier_place *place, struct err *err)
{
    return s3_store_start(store_of(place), err);
}

static enum rc bucket_read(struct tier_place *place, const char *name, size_t most_bytes, struct bytes *out,
                           struct err *err)
{
    return s3_store_read(store_of(place), name, most_bytes, out, err);
}

static enum rc bucket_write(struct tier_place *place, const char *name, const void *data, size_t length,
                            struct err *err)
{
    return s3_store_write(store_of(place), name, data, length, err);
}

static enum rc bucket_remove(struct tier_place *place, const char *name, struct err *err)
{
    return s3_store_remove(store_of(place), name, err);
}

struct listing {
    enum rc (*each)(void *context, const char *name, struct err *err);
    void *context;
};

static enum rc list_one(void *context, const char *key, uint64_t size_bytes, struct err *err)
{
    const struct listing *listing = context;
    (void)size_bytes;
    return listing->each(listing->context, key, err);
}

static enum rc bucket_list(struct tier_place *place, const char *prefix,
                           enum rc (*each)(void *context, const char *name, struct err *err), void *context,
                           struct err *err)
{
    struct listing listing = {.each = each, .context = context};
    return s3_store_list(store_of(place), prefix, list_one, &listing, err);
}

static void bucket_close(struct tier_place *place)
{
    struct bucket *bucket = (struct bucket *)place;
    s3_store_close(&bucket->store);
    free(bucket->url);
    free(bucket);
}

static const struct tier_place_ops bucket_ops = {.start = bucket_start,
                                                 .read = bucket_read,
                                                 .write = bucket_write,
                                                 .remove = bucket_remove,
                                                 .list = bucket_list,
                                                 .close = bucket_close};

enum rc tier_bucket_open(const struct settings *settings, struct tier_place **ret_place, struct err *err)
{
    struct bucket *bucket = calloc(1, sizeof *bucket);
    char *url = strdup(settings->derivative_tier);
    if (bucket == NULL || url == NULL) {
        free(bucket);
        free(url);
        return err_set(err, RC_NO_MEMORY, "no memory for the lower tier of derivatives");
    }
    bucket->place = (struct tier_place){.ops = &bucket_ops, .name = url, .folder_fd = -1, .lost_fd = -1};
    bucket->url = url;
    enum rc rc = s3_store_prepare(url, settings, &bucket->store, err);
    if (rc != RC_OK) {
        bucket_close(&bucket->place);
        return rc;
    }
    s3_store_ports(bucket->store, bucket->place.port);
    /* Once: who waits for it renders instead, and what is not written is written another time. */
    s3_store_hurry(bucket->store, 1, settings->fetch_timeout_s * 1000);
    *ret_place = &bucket->place;
    return RC_OK;
}
