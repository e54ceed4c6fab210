#include "worker/gateway/archive.h"

#include "worker/gateway/archive_map.h"
#include "worker/iiif/request.h"

#include <string.h>

const struct list_map_kind gateway_archive_kind = {.what = "the map of retired identifiers",
                                                   .magic = UINT64_C(0x3256484352415456) /* "VTARCHV2" */};

struct looking {
    const char *identifier;
    size_t length;
    char *ret_identifier;
    enum gateway_retired retired;
};

/* One value of the map → what became of the identifier. Its bytes come from a file: nothing is believed. */
static void look(void *context, const uint8_t *at, size_t left)
{
    struct looking *looking = context;
    struct archive_entry entry;
    while (left >= sizeof entry) {
        memcpy(&entry, at, sizeof entry);
        at += sizeof entry;
        left -= sizeof entry;
        if (entry.old_bytes > left || entry.target_bytes > left - entry.old_bytes ||
            entry.target_bytes > IIIF_MAX_IDENTIFIER_BYTES)
            return;
        if (entry.old_bytes == looking->length && memcmp(at, looking->identifier, looking->length) == 0) {
            memcpy(looking->ret_identifier, at + looking->length, entry.target_bytes);
            looking->ret_identifier[entry.target_bytes] = '\0';
            looking->retired = entry.target_bytes == 0 ? GATEWAY_RETIRED_GONE : GATEWAY_RETIRED_MOVED;
            return;
        }
        at += entry.old_bytes + (size_t)entry.target_bytes;
        left -= entry.old_bytes + (size_t)entry.target_bytes;
    }
}

enum gateway_retired gateway_archive_find(const struct list_map *archive, const char *identifier,
                                          char *ret_identifier)
{
    struct looking looking = {.identifier = identifier,
                              .length = strlen(identifier),
                              .ret_identifier = ret_identifier,
                              .retired = GATEWAY_RETIRED_NO};
    list_map_find(archive, list_map_key(identifier, looking.length), look, &looking);
    return looking.retired;
}
