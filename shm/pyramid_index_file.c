#include "shm/pyramid_index_file.h"

#include "base/log.h"
#include "base/own.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

/* A program of another layout has another file, so that the two can be exchanged without a pause. */
#define FILE_NAME  "pyramids-1.mdb"
#define PATH_BYTES 4096

#define MOST_READERS 4096u /* transactions of all workers; 64 bytes each in the lock file */
#define GUARD_TRIES  40
#define GUARD_NAP_MS 5
#define RESIZE_TRIES 8

/* ---- inside ---- */

static _Thread_local struct shm_index_shared *inside;
static _Thread_local uint64_t inside_generation;

static void doubt(struct shm_index_shared *shared, uint64_t generation)
{
    uint64_t known = atomic_load_explicit(&shared->doubted, memory_order_relaxed);
    while (known < generation + 1 &&
           !atomic_compare_exchange_weak_explicit(&shared->doubted, &known, generation + 1,
                                                  memory_order_relaxed, memory_order_relaxed))
        ;
}

void shm_index_enter(const struct shm_index_file *file, struct shm_index_shared *shared)
{
    inside_generation = file->generation;
    inside = shared;
    atomic_signal_fence(memory_order_seq_cst);
}

void shm_index_leave(void)
{
    atomic_signal_fence(memory_order_seq_cst);
    inside = NULL;
}

bool shm_index_fault(void)
{
    if (inside == NULL)
        return false;
    doubt(inside, inside_generation);
    return true;
}

bool shm_index_file_is_doubted(const struct shm_index_file *file, const struct shm_index_shared *shared)
{
    return atomic_load_explicit(&shared->generation, memory_order_relaxed) != file->generation ||
           atomic_load_explicit(&shared->doubted, memory_order_relaxed) > file->generation;
}

void shm_index_file_doubt(const struct shm_index_file *file, struct shm_index_shared *shared)
{
    doubt(shared, file->generation);
}

/* ---- the guard ---- */

/* Not for long: whoever holds it may have been stopped. */
static enum rc take_guard(const char *directory, int *ret_fd, struct err *err)
{
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/guard", directory);
    OWN_FD int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return err_set_errno(err, RC_IO, errno, "the pyramid index cannot be kept in the cache directory");
    for (int i = 0; flock(fd, LOCK_EX | LOCK_NB) < 0; i++) {
        const struct timespec nap = {.tv_nsec = GUARD_NAP_MS * 1000000L};
        if (errno != EWOULDBLOCK && errno != EINTR)
            return err_set_errno(err, RC_IO, errno, "the pyramid index cannot be locked");
        if (i == GUARD_TRIES)
            return err_set(err, RC_BUSY, "another process is opening the pyramid index");
        nanosleep(&nap, NULL);
    }
    *ret_fd = TAKE_FD(fd);
    return RC_OK;
}

static void file_path(const char *directory, const char *suffix, char ret_path[PATH_BYTES])
{
    snprintf(ret_path, PATH_BYTES, "%s/" FILE_NAME "%s", directory, suffix);
}

/* Under the guard, so that one of the workers says it. */
static void throw_away(const struct shm_index_options *options, const char *why)
{
    char path[PATH_BYTES];
    file_path(options->directory, "", path);
    log_warning("the pyramid index, " FILE_NAME " in the cache directory, is begun anew: %s", why);
    unlink(path);
    file_path(options->directory, "-lock", path);
    unlink(path);
    atomic_fetch_add_explicit(&options->shared->generation, 1, memory_order_relaxed);
}

/* ---- opening ---- */

/* Pages beyond the end of the file would raise SIGBUS. */
static int check_length(MDB_env *env, ino_t *ret_inode)
{
    MDB_envinfo info;
    MDB_stat stat;
    struct stat file;
    mdb_filehandle_t fd;
    int status = mdb_env_info(env, &info);
    if (status == 0)
        status = mdb_env_stat(env, &stat);
    if (status == 0)
        status = mdb_env_get_fd(env, &fd);
    if (status == 0 && fstat(fd, &file) < 0)
        status = errno;
    if (status != 0)
        return status;
    *ret_inode = file.st_ino;
    return info.me_last_pgno < (size_t)file.st_size / stat.ms_psize ? 0 : MDB_CORRUPTED;
}

static ino_t inode_of(const struct shm_index_options *options, const char *suffix)
{
    char path[PATH_BYTES];
    struct stat st;
    file_path(options->directory, suffix, path);
    return stat(path, &st) == 0 ? st.st_ino : 0;
}

/* Two data files that share a lock file would ruin each other. */
static bool is_half_of(const struct shm_index_options *options, const struct shm_index_file *old)
{
    return old != NULL && old->env != NULL &&
           (inode_of(options, "") == old->inode || inode_of(options, "-lock") == old->lock_inode);
}

static int open_tables(struct shm_index_file *file, unsigned how)
{
    static const char *const name[SHM_INDEX_TABLES] = {"images", "tiles", "blobs"};
    MDB_txn *txn = NULL;
    int status = mdb_txn_begin(file->env, NULL, how == MDB_CREATE ? 0 : MDB_RDONLY, &txn);
    for (int i = 0; status == 0 && i < SHM_INDEX_TABLES; i++)
        status = mdb_dbi_open(txn, name[i], how, &file->table[i]);
    if (status == 0)
        return mdb_txn_commit(txn); /* of a reader's too: its handles are kept */
    if (txn != NULL)
        mdb_txn_abort(txn);
    return status;
}

/* The mapping's size is the file's own if that is larger. */
static int open_env(const struct shm_index_options *options, struct shm_index_file *file)
{
    char path[PATH_BYTES];
    file_path(options->directory, "", path);
    int status = mdb_env_create(&file->env), dead = 0;
    if (status == 0)
        status = mdb_env_set_maxdbs(file->env, SHM_INDEX_TABLES);
    if (status == 0)
        status = mdb_env_set_maxreaders(file->env, MOST_READERS);
    if (status == 0)
        status = mdb_env_set_mapsize(file->env, options->least_bytes);
    if (status == 0)
        status = mdb_env_open(file->env, path, MDB_NOSUBDIR | MDB_NOTLS | MDB_NOMETASYNC | MDB_NORDAHEAD,
                              0600);
    if (status == 0)
        status = check_length(file->env, &file->inode);
    if (status == 0)
        status = mdb_reader_check(file->env, &dead);
    if (status == 0)
        status = open_tables(file, 0);
    /* Another process may have made the file larger since it was mapped. */
    for (int i = 0; i < RESIZE_TRIES && status == MDB_MAP_RESIZED && shm_index_file_adopt_size(file); i++)
        status = open_tables(file, 0);
    if (status == MDB_NOTFOUND)
        status = open_tables(file, MDB_CREATE);
    if (status != 0 && file->env != NULL) {
        mdb_env_close(file->env);
        file->env = NULL;
    }
    return status;
}

/* Whether the file itself may be what is wrong: then it goes. Elsewhere it would only be missed. */
static bool is_files_fault(int status)
{
    return status != EMFILE && status != ENFILE && status != ENOSPC && status != EDQUOT && status != EROFS &&
           status != EAGAIN && status != EINTR && status != MDB_READERS_FULL && status != MDB_MAP_RESIZED;
}

static enum rc open_guarded(const struct shm_index_options *options, const struct shm_index_file *old,
                            struct shm_index_file *file, struct err *err)
{
    struct shm_index_shared *shared = options->shared;
    *file = (struct shm_index_file){
        .generation = atomic_load_explicit(&shared->generation, memory_order_relaxed)};
    int status = MDB_CORRUPTED;
    const char *why = "it was found damaged, or full, while it was in use";
    if (!shm_index_file_is_doubted(file, shared)) {
        why = "its data file or its lock file was removed or replaced while it was in use";
        if (!is_half_of(options, old)) {
            shm_index_enter(file, shared);
            status = open_env(options, file);
            why = mdb_strerror(status);
        }
    }
    if (status != 0 && is_files_fault(status)) {
        throw_away(options, why);
        file->generation = atomic_load_explicit(&shared->generation, memory_order_relaxed);
        shm_index_enter(file, shared);
        status = open_env(options, file);
    }
    shm_index_leave();
    file->lock_inode = inode_of(options, "-lock");
    if (status == 0)
        return RC_OK;
    return err_set(err, status == ENOMEM ? RC_NO_MEMORY : RC_IO, "the pyramid index cannot be opened: %s",
                   mdb_strerror(status));
}

enum rc shm_index_file_open(const struct shm_index_options *options, const struct shm_index_file *old,
                            struct shm_index_file *ret_file, struct err *err)
{
    OWN_FD int guard = -1;
    struct shm_index_file file;
    enum rc rc = take_guard(options->directory, &guard, err);
    if (rc == RC_OK)
        rc = open_guarded(options, old, &file, err);
    if (rc == RC_OK)
        *ret_file = file;
    return rc;
}

void shm_index_file_close(struct shm_index_file *file)
{
    if (file->env != NULL)
        mdb_env_close(file->env);
    file->env = NULL;
}

bool shm_index_file_is_there(const struct shm_index_file *file, const char *directory)
{
    char path[PATH_BYTES];
    struct stat found;
    file_path(directory, "", path);
    return stat(path, &found) == 0 && found.st_ino == file->inode;
}

/* ---- size ---- */

bool shm_index_file_grow(struct shm_index_file *file, size_t most_bytes)
{
    MDB_envinfo info;
    if (mdb_env_info(file->env, &info) != 0 || info.me_mapsize >= most_bytes)
        return false;
    size_t size = info.me_mapsize > most_bytes / 2 ? most_bytes : info.me_mapsize * 2;
    return mdb_env_set_mapsize(file->env, size) == 0;
}

bool shm_index_file_adopt_size(struct shm_index_file *file)
{
    return mdb_env_set_mapsize(file->env, 0) == 0;
}
