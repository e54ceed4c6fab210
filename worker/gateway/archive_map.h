/* What stands in a map of the archive (cache/list_map.h). Private to archive.c, which reads it, and
 * archive_load.c, which writes it.
 *
 * Key: of the retired identifier. Value: one or, where hashes collide, several entries one after the other,
 * each an archive_entry, the retired identifier, and what became of it. */
#ifndef WORKER_GATEWAY_ARCHIVE_MAP_H
#define WORKER_GATEWAY_ARCHIVE_MAP_H

#include <assert.h>
#include <stdint.h>

/* target_bytes 0: gone. */
struct archive_entry {
    uint32_t old_bytes, target_bytes;
};
static_assert(sizeof(struct archive_entry) == 8, "the layout of the map");

#endif
