/* A roll of names as a file of the cache directory, or as memory: header, lines, folded lines
 * (worker/web/roll_search.h). The folder's other processes map the same file. A reference count keeps one
 * mapped while somebody searches it; the file is replaced by renaming, never written into. One that does not
 * pass its own check is none. */
#ifndef WORKER_WEB_ROLL_FILE_H
#define WORKER_WEB_ROLL_FILE_H

#include "worker/web/roll_search.h"

#include <stdatomic.h>

struct web_roll_file {
    struct web_roll_text text;
    uint64_t count;   /* of names */
    int64_t walked_s; /* wall clock, when it was begun */
    int64_t took_ms;
    bool is_cut;    /* there were more names than a roll holds */
    uint64_t inode; /* of its file; 0: it is memory only */
    void *base;     /* of the mapping */
    size_t base_bytes;
    atomic_uint references;
};

/* What has been walked. */
struct web_roll_walked {
    uint64_t root; /* names the image root */
    uint64_t count;
    int64_t walked_s, took_ms;
    bool is_cut;
};

/* Makes a roll of the lines, which are taken over, and where `folder_fd` is one, writes it there; where that
 * fails it lives in memory, and err says why. RC_NO_MEMORY. */
RC_MUST_USE enum rc web_roll_file_make(int folder_fd, const struct web_roll_walked *walked,
                                       struct bytes *lines, struct web_roll_file **ret_file, struct err *err);
/* The one that lies in the folder. RC_NOT_FOUND: none that is whole and of this root. */
RC_MUST_USE enum rc web_roll_file_open(int folder_fd, uint64_t root, struct web_roll_file **ret_file,
                                       struct err *err);
/* The inode of what lies there; 0: nothing. */
uint64_t web_roll_file_inode(int folder_fd);

void web_roll_file_release(struct web_roll_file **file);

#endif
