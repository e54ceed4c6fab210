/* The block store: the directory of block files, and its bound.
 *
 * Used by all workers at once; files are the truth and there is no index. A thread of each worker looks through the directory
 * when this worker has written a sixteenth of the bound since it last did, and one of them at a time (a locked file) deletes
 * the files that were used least recently, until nine tenths are left: of the bound, or, where the disk was found full, of what
 * is there. Who has a deleted file open may go on with it, but is told now and then to look for such files, whose room is not
 * free before they are closed. A crash leaves temporary files, which the next look removes once they are an hour old. */
#ifndef CACHE_BLOCK_STORE_H
#define CACHE_BLOCK_STORE_H

#include "cache/block_file.h"

struct block_store;

/* Uses the directory `directory_fd` (O_PATH will do; stays the caller's); -1: memory only, at most `memory_bytes`. RC_IO. */
RC_MUST_USE enum rc block_store_open(int directory_fd, int64_t most_bytes, int64_t memory_bytes,
                                     struct block_store **ret_store, struct err *err);
/* Starts the thread. After the box. */
RC_MUST_USE enum rc block_store_start(struct block_store *store, struct err *err);
/* Before it starts: `let_go` is called by its thread every few seconds, and after files were deleted. */
void block_store_on_deleted(struct block_store *store, void (*let_go)(void *context), void *context);
void block_store_close(struct block_store **store);

/* Whether what is written to it is found by other processes. */
bool block_store_is_shared(const struct block_store *store);

RC_MUST_USE enum rc block_store_create(struct block_store *store, const struct block_subject *subject,
                                       struct block_file **ret_file, struct err *err);
/* RC_NOT_FOUND, RC_NO_MEMORY. */
RC_MUST_USE enum rc block_store_find(struct block_store *store, const char *name,
                                     struct block_file **ret_file, struct err *err);
/* So much has been written to one of its files. */
void block_store_grew(struct block_store *store, uint64_t bytes);
/* Looks through the directory now, and deletes what is too much. What the thread does; for tests. */
void block_store_tidy(struct block_store *store);

#endif
