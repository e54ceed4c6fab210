#include "worker/manifest/catalogue.h"

#include "base/own.h"

#include <string.h>

const struct list_map_kind manifest_catalogue_kind = {.what = "the map of the catalogue",
                                                      .magic = UINT64_C(0x3156474c54435456) /* "VTCTLGV1" */};

uint64_t manifest_catalogue_columns_hash(const char *columns)
{
    return bytes_hash(BYTES_HASH_START, columns, strlen(columns));
}

struct looking {
    const char *path;
    size_t length;
    struct bytes *out;
    bool is_found;
};

/* A value (the length of the path, the path, the sidecar's text) that comes from a file: nothing is
 * believed. */
static void look(void *context, const uint8_t *value, size_t length)
{
    struct looking *looking = context;
    uint32_t path_bytes = 0;
    if (length < sizeof path_bytes)
        return;
    memcpy(&path_bytes, value, sizeof path_bytes);
    value += sizeof path_bytes;
    length -= sizeof path_bytes;
    if (path_bytes != looking->length || length < path_bytes || memcmp(value, looking->path, path_bytes) != 0)
        return;
    looking->is_found = bytes_append(looking->out, value + path_bytes, length - path_bytes, NULL) == RC_OK;
}

bool manifest_catalogue_find(const struct list_map *catalogue, const char *path, struct bytes *out)
{
    struct looking looking = {.path = path, .length = strlen(path), .out = out};
    if (catalogue != NULL)
        list_map_find(catalogue, list_map_key(path, looking.length), look, &looking);
    return looking.is_found;
}

uint64_t manifest_catalogue_hash(const struct list_map *catalogue, const char *path)
{
    OWN(bytes_done) struct bytes text = {0};
    return manifest_catalogue_find(catalogue, path, &text)
               ? bytes_hash(BYTES_HASH_START, text.data, text.length) | 1
               : 0;
}
