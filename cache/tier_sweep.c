#include "cache/tier_sweep.h"

#include "base/own.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define FOLDERS       256
#define CLASSES       512 /* of age; each is at most a sixteenth wide */
#define FILES_AT_ONCE 32  /* then a pause, so that others get at the disk */
#define PAUSE_NS      2000000
#define UNFINISHED_S  3600 /* what is being written for so long is not being written any more */

struct round {
    const struct tier_sweep *sweep;
    int folder;
    int64_t began_s;
    uint64_t files_seen;
    uint64_t bytes[CLASSES]; /* that there are of each age */
    uint64_t removed;
    bool removes;         /* the second time */
    unsigned oldest_kept; /* what is in an older class goes, and of this one as much as ... */
    uint64_t still_bytes; /* ... is here */
};

/* ---- files ---- */

static unsigned class_of(int64_t age_s)
{
    if (age_s < 16)
        return age_s > 0 ? (unsigned)age_s : 0;
    unsigned shift = 63 - 4 - (unsigned)__builtin_clzll((uint64_t)age_s);
    unsigned class = 16 * shift + (unsigned)(age_s >> shift);
    return class < CLASSES ? class : CLASSES - 1;
}

/* "abcdef01-" and 32 more digits in the folder "ab". */
static bool is_entry(const char *folder, const char *name)
{
    const char *digits = "0123456789abcdef";
    return strlen(name) == 41 && strncmp(name, folder, 2) == 0 && strspn(name, digits) == 8 &&
           name[8] == '-' && strspn(name + 9, digits) == 32;
}

static void take_away(struct round *round, int folder, const char *name, uint64_t bytes)
{
    if (unlinkat(folder, name, 0) == 0)
        round->removed++;
    else if (errno != ENOENT)
        round->bytes[0] += bytes; /* it may not be removed: it stays */
}

static void look_at(struct round *round, int folder, const char *name, bool is_whole)
{
    struct stat status;
    if (fstatat(folder, name, &status, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(status.st_mode))
        return;
    int64_t had_s = status.st_atime > status.st_mtime ? status.st_atime : status.st_mtime;
    uint64_t bytes = ((uint64_t)status.st_size + 4095) / 4096 * 4096;
    unsigned class = class_of(round->began_s - had_s);
    if (!is_whole) {
        if (round->began_s - status.st_mtime > UNFINISHED_S)
            unlinkat(folder, name, 0);
    } else if (round->removes && class > round->oldest_kept) {
        take_away(round, folder, name, bytes);
    } else if (round->removes && class == round->oldest_kept && round->still_bytes > 0) {
        round->still_bytes -= bytes < round->still_bytes ? bytes : round->still_bytes;
        take_away(round, folder, name, bytes);
    } else {
        round->bytes[class] += bytes;
    }
}

static void close_folder(DIR **folder)
{
    if (*folder != NULL)
        closedir(*folder);
}

static enum rc look_into(struct round *round, unsigned number, struct err *err)
{
    char name[3];
    const struct dirent *entry;
    snprintf(name, sizeof name, "%02x", number % FOLDERS);
    int fd = openat(round->folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR || errno == ELOOP))
        return RC_OK;
    OWN(close_folder) DIR *folder = fd >= 0 ? fdopendir(fd) : NULL;
    if (folder == NULL) {
        enum rc rc = err_set_errno(err, RC_IO, errno, "the folder %s of the lower tier cannot be read", name);
        own_close(&fd);
        return rc;
    }
    while ((errno = 0, entry = readdir(folder)) != NULL) {
        bool is_whole = is_entry(name, entry->d_name);
        bool is_ours = is_whole || strncmp(entry->d_name, ".new-", 5) == 0;
        if (is_ours && !round->sweep->goes_on(round->sweep->context))
            return err_set(err, RC_CANCELLED, "the sweep of the lower tier has been ended");
        if (is_ours)
            look_at(round, fd, entry->d_name, is_whole);
        if (++round->files_seen % FILES_AT_ONCE == 0)
            nanosleep(&(struct timespec){.tv_nsec = PAUSE_NS}, NULL);
    }
    return errno == 0
               ? RC_OK
               : err_set_errno(err, RC_IO, errno, "the folder %s of the lower tier cannot be read", name);
}

/* ---- both rounds ---- */

static enum rc go_round(struct round *round, struct err *err)
{
    enum rc rc = RC_OK;
    memset(round->bytes, 0, sizeof round->bytes);
    for (unsigned i = 0; rc == RC_OK && i < FOLDERS; i++)
        rc = look_into(round, i, err);
    return rc;
}

static uint64_t total(const struct round *round)
{
    uint64_t bytes = 0;
    for (unsigned i = 0; i < CLASSES; i++)
        bytes += round->bytes[i];
    return bytes;
}

/* Which ages go, so that `too_many_bytes` do. */
static void draw_the_line(struct round *round, uint64_t too_many_bytes)
{
    unsigned class = CLASSES - 1;
    while (class > 0 && round->bytes[class] < too_many_bytes)
        too_many_bytes -= round->bytes[class --];
    round->oldest_kept = class;
    round->still_bytes = too_many_bytes;
    round->removes = true;
}

enum rc tier_sweep(int folder_fd, const struct tier_sweep *sweep, struct tier_swept *ret_swept,
                   struct err *err)
{
    struct round round = {.sweep = sweep, .folder = folder_fd, .began_s = time(NULL)};
    enum rc rc = go_round(&round, err);
    if (rc != RC_OK)
        return rc;
    uint64_t bytes = total(&round), stay_bytes = bytes > sweep->most_bytes ? sweep->down_to_bytes : bytes;
    if (sweep->is_full && stay_bytes > bytes - bytes / 8)
        stay_bytes = bytes - bytes / 8;
    if (bytes > stay_bytes) {
        draw_the_line(&round, bytes - stay_bytes);
        rc = go_round(&round, err);
    }
    if (rc == RC_OK)
        *ret_swept = (struct tier_swept){.bytes = total(&round), .removed = round.removed};
    return rc;
}
