/* A block file: what has been fetched so far of one version of one source, in blocks, each of which checks itself.
 *
 *   header, 4 KiB      magic, layout, name and version of the source, checksum of all that; when it was last confirmed
 *   table              per block 8 bytes: 0 it is not here, else the checksum of its bytes
 *   blocks             at their place from the next 4 KiB on; the file is sparse, so that only what was fetched takes room
 *
 * All workers use the same files. A block is written first and entered in the table then; whoever reads it for the first
 * time compares it with its checksum. So a crash, a power cut or a full disk leaves blocks that are here whole, or not
 * here, and two workers that write the same block write the same bytes. Names of temporary files begin with a dot; a file
 * takes its own name when its header is whole. Where there is no directory, or no room in it, blocks are in memory.
 *
 * Any thread; opened once, closed once. A file that was deleted meanwhile is good for those who have it open. */
#ifndef CACHE_BLOCK_FILE_H
#define CACHE_BLOCK_FILE_H

#include "cache/transport.h"

#define BLOCK_BYTES        32768u
#define BLOCK_NAME_BYTES   2048u
#define BLOCK_FILE_LETTERS 32u /* of a file's own name: a hash of the source's */

struct block_file;

/* What the file keeps blocks of. */
struct block_subject {
    char name[BLOCK_NAME_BYTES]; /* origin and path */
    struct origin_version version;
    char etag[TRANSPORT_ETAG_BYTES];
};

/* Room for blocks in memory, over all files of a process; and why they are there. */
struct block_memory {
    _Atomic int64_t used_bytes;
    int64_t most_bytes;
    atomic_bool disk_is_full; /* set by whoever finds that; for the block store */
};

/* Makes an empty file in `directory_fd` under the hash of subject->name, in place of one that is there. In memory only when
 * `directory_fd` is -1, or the directory has no room for the header. RC_NO_MEMORY, RC_TOO_LARGE. */
RC_MUST_USE enum rc block_file_create(int directory_fd, const struct block_subject *subject,
                                      struct block_memory *memory, struct block_file **ret_file,
                                      struct err *err);
/* The file that is there for `name`. RC_NOT_FOUND when there is none or it is not whole; RC_NO_MEMORY. */
RC_MUST_USE enum rc block_file_open(int directory_fd, const char *name, struct block_memory *memory,
                                    struct block_file **ret_file, struct err *err);
/* Whether it was deleted from its directory: it takes room that nobody finds again. */
bool block_file_is_deleted(const struct block_file *file);
void block_file_close(struct block_file **file);

const struct block_subject *block_file_subject(const struct block_file *file);
uint64_t block_file_count(const struct block_file *file);

/* When its version was last confirmed by the origin: wall clock, shared by all workers. 0: never. */
int64_t block_file_confirmed_ms(struct block_file *file);
void block_file_confirm(struct block_file *file, int64_t wall_ms);

/* Whether a block is here. Reads from the SSD at most. */
bool block_file_has(struct block_file *file, uint64_t block);
/* All of `length` bytes at `offset`, which lie inside the source. RC_AWAY when a block is not here (or not as it was
 * written); RC_BUSY when it would take waiting and `patience` has none. */
RC_MUST_USE enum rc block_file_read(struct block_file *file, void *data, size_t length, uint64_t offset,
                                    enum image_blob_patience patience, struct err *err);
/* Keeps a block: BLOCK_BYTES, or what the last one has. RC_NO_MEMORY when neither disk nor memory has room. */
RC_MUST_USE enum rc block_file_write(struct block_file *file, uint64_t block, const void *data,
                                     struct err *err);

/* The header of a file that somebody may have tampered with: fills in its subject if it is one of ours, whole. */
bool block_file_header_read(const uint8_t *header, size_t length, struct block_subject *ret_subject);
/* "3f…": the file's own name. */
void block_file_letters(const char *name, char ret_letters[BLOCK_FILE_LETTERS + 1]);

#endif
