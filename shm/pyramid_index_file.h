/* The LMDB file of the pyramid index: opening, exchanging and growing it. For shm/pyramid_index*.c only.
 *
 * Opening and throwing away happen under a lock on a file `guard` beside it, so that nobody opens half a pair
 * of data file and lock file. Whoever still has the old pair open goes on with it, unlinked, until it
 * notices. */
#ifndef SHM_PYRAMID_INDEX_FILE_H
#define SHM_PYRAMID_INDEX_FILE_H

#include "shm/pyramid_index.h"

#include <lmdb.h>
#include <sys/types.h>

enum shm_index_table { SHM_INDEX_IMAGES, SHM_INDEX_TILES, SHM_INDEX_BLOBS, SHM_INDEX_TABLES };

struct shm_index_file {
    MDB_env *env; /* NULL: not open */
    MDB_dbi table[SHM_INDEX_TABLES];
    ino_t inode, lock_inode;
    uint64_t generation;
};

/* Opens the file, after throwing it away where it is no index or in doubt. `old` is the one that this process
 * has open and cannot go on with, or NULL: nothing that belongs to it is opened again. RC_BUSY when another
 * process holds the guard for long, RC_IO, RC_NO_MEMORY. */
RC_MUST_USE enum rc shm_index_file_open(const struct shm_index_options *options,
                                        const struct shm_index_file *old, struct shm_index_file *ret_file,
                                        struct err *err);
/* No transaction is open. */
void shm_index_file_close(struct shm_index_file *file);

/* Whether some process has found it damaged, or thrown it away. Two loads. */
bool shm_index_file_is_doubted(const struct shm_index_file *file, const struct shm_index_shared *shared);
void shm_index_file_doubt(const struct shm_index_file *file, struct shm_index_shared *shared);
/* Whether it still is the file that the directory holds. */
bool shm_index_file_is_there(const struct shm_index_file *file, const char *directory);

/* Doubles the mapping, or takes over the size that another process gave it. No transaction is open in this
 * process. False: it is as large as it may get. */
bool shm_index_file_grow(struct shm_index_file *file, size_t most_bytes);
bool shm_index_file_adopt_size(struct shm_index_file *file);

/* Brackets everything that reads mapped pages. */
void shm_index_enter(const struct shm_index_file *file, struct shm_index_shared *shared);
void shm_index_leave(void);

#endif
