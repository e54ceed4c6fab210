/* Mounts an NFSv4 export where the kernel has no NFS client: libnfs below FUSE. For the tests, built by them.
 *
 *     nfs_mount URL hard|MILLISECONDS FOLDER [FUSE OPTION...]
 *
 * hard: a call is tried until the server answers, as on a hard mount. Otherwise it fails with EIO after so many milliseconds, as on a
 * soft one. Each session is a client of its own towards the server; one that failed is begun anew by the next call, and
 * what had been opened through it before is stale from then on, as after any restart of a server that keeps no state.
 *
 * Each line of its standard input is a number: so many calls are still answered, and those behind them stand still until the next line, a minute at
 * most, since nobody can end a process that waits; -1: all are answered. Each is acknowledged with a line: how many calls there have been. */
#define FUSE_USE_VERSION 31
#define _FILE_OFFSET_BITS 64
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <fuse.h>
#include <nfsc/libnfs.h>

enum { SESSIONS = 24, LONGEST_STILL_S = 60, WRITE_BYTES = 2048 /* the most that libnfs 4 puts into a call */ };

struct session {
    pthread_mutex_t busy;
    struct nfs_context *nfs; /* NULL: to be begun */
    unsigned epoch;          /* which of its contexts this is */
};

struct opened {
    struct session *session;
    unsigned epoch;
    struct nfsfh *file;
};

static struct session sessions[SESSIONS];
static const char *url;
static int patience_ms;
static bool hard;

static struct {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    long seen;
    long left; /* -1: all */
    struct timespec end;
} gate = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, -1, {0, 0}};

/* What every call does first. */
static void pass(void)
{
    pthread_mutex_lock(&gate.mutex);
    gate.seen++;
    while (gate.left == 0)
        if (pthread_cond_timedwait(&gate.changed, &gate.mutex, &gate.end) != 0)
            gate.left = -1;
    if (gate.left > 0)
        gate.left--;
    pthread_mutex_unlock(&gate.mutex);
}

static void *obey(void *unused)
{
    char line[32];
    while (fgets(line, sizeof line, stdin) != NULL) {
        pthread_mutex_lock(&gate.mutex);
        gate.left = atol(line);
        clock_gettime(CLOCK_REALTIME, &gate.end);
        gate.end.tv_sec += LONGEST_STILL_S;
        pthread_cond_broadcast(&gate.changed);
        printf("%ld\n", gate.seen);
        fflush(stdout);
        pthread_mutex_unlock(&gate.mutex);
    }
    return unused;
}

/* A context of which a call has failed is not destroyed: libnfs would then end the call once more, with an answer written to the stack that
 * the call had. Its memory stays; a test is short. */
static void abandon(struct nfs_context *nfs)
{
    int fd = nfs_get_fd(nfs);
    if (fd >= 0)
        close(fd);
}

static struct nfs_context *begin(void)
{
    static _Atomic unsigned begun;
    unsigned number = begun++;
    char name[48], verifier[16];
    struct nfs_context *nfs = nfs_init_context();
    struct nfs_url *place = nfs != NULL ? nfs_parse_url_dir(nfs, url) : NULL;
    if (place == NULL)
        return NULL;
    /* Two clients of one name would end each other's state. */
    snprintf(name, sizeof name, "vitrine-test-%d-%u", (int)getpid(), number);
    snprintf(verifier, sizeof verifier, "%04x%04x", (unsigned)getpid() & 0xffff, number & 0xffff);
    nfs4_set_client_name(nfs, name);
    nfs4_set_verifier(nfs, verifier);
    nfs_set_timeout(nfs, patience_ms);
    nfs_set_autoreconnect(nfs, 0);
    bool mounted = nfs_mount(nfs, place->server, place->path) == 0;
    nfs_destroy_url(place);
    if (mounted)
        return nfs;
    abandon(nfs);
    return NULL;
}

/* A session that nobody else is at. NULL: the server is away, and there is no waiting for it. */
static struct session *take(struct session *wanted)
{
    static _Atomic unsigned turn;
    struct session *session = wanted;
    bool taken = false;
    for (unsigned i = 0; wanted == NULL && !taken && i < SESSIONS; i++) {
        session = &sessions[turn++ % SESSIONS];
        taken = pthread_mutex_trylock(&session->busy) == 0;
    }
    if (!taken)
        pthread_mutex_lock(&session->busy);
    while (session->nfs == NULL && (session->nfs = begin()) == NULL && hard)
        usleep(100000);
    if (session->nfs != NULL)
        return session;
    pthread_mutex_unlock(&session->busy);
    return NULL;
}

/* What a call has returned, for FUSE. What the server did not say itself means that the session is over. */
static int give(struct session *session, int result)
{
    static const int servers[] = {ENOENT, EACCES, EPERM, ENOTDIR, EISDIR, ELOOP, ENAMETOOLONG, EINVAL, ESTALE,
                                  EEXIST, ENOTEMPTY, ENOSPC, EDQUOT};
    bool is_servers = result >= 0;
    for (size_t i = 0; i < sizeof servers / sizeof servers[0]; i++)
        is_servers = is_servers || result == -servers[i];
    if (!is_servers) {
        fprintf(stderr, "nfs_mount: %s (%d)\n", nfs_get_error(session->nfs), result);
        abandon(session->nfs);
        session->nfs = NULL;
        session->epoch++;
        result = -EIO;
    }
    pthread_mutex_unlock(&session->busy);
    return result;
}

static int get_attributes(const char *path, struct stat *status, struct fuse_file_info *info)
{
    struct nfs_stat_64 it;
    int result;
    (void)info;
    pass();
    do {
        struct session *session = take(NULL);
        result = session == NULL ? -EIO : give(session, nfs_lstat64(session->nfs, path, &it));
    } while (result == -EIO && hard);
    if (result == 0)
        *status = (struct stat){.st_ino = it.nfs_ino,
                                .st_mode = (mode_t)it.nfs_mode,
                                .st_nlink = (nlink_t)it.nfs_nlink,
                                .st_uid = (uid_t)it.nfs_uid,
                                .st_gid = (gid_t)it.nfs_gid,
                                .st_size = (off_t)it.nfs_size,
                                .st_blksize = 4096,
                                .st_blocks = (blkcnt_t)it.nfs_blocks,
                                .st_atim = {(time_t)it.nfs_atime, (long)it.nfs_atime_nsec},
                                .st_mtim = {(time_t)it.nfs_mtime, (long)it.nfs_mtime_nsec},
                                .st_ctim = {(time_t)it.nfs_ctime, (long)it.nfs_ctime_nsec}};
    return result;
}

static int read_link(const char *path, char *text, size_t capacity)
{
    int result;
    pass();
    do {
        struct session *session = take(NULL);
        result = session == NULL ? -EIO
                                 : give(session, nfs_readlink(session->nfs, path, text, (int)capacity));
    } while (result == -EIO && hard);
    return result;
}

static int list(const char *path, void *entries, fuse_fill_dir_t add, off_t from, struct fuse_file_info *info,
                enum fuse_readdir_flags flags)
{
    struct nfsdir *folder = NULL;
    pass();
    struct session *session = take(NULL);
    (void)from;
    (void)info;
    (void)flags;
    if (session == NULL)
        return -EIO;
    int result = nfs_opendir(session->nfs, path, &folder);
    if (result == 0) {
        for (struct nfsdirent *entry; (entry = nfs_readdir(session->nfs, folder)) != NULL;)
            add(entries, entry->name, NULL, 0, 0);
        nfs_closedir(session->nfs, folder);
    }
    return give(session, result);
}

static int open_file(const char *path, struct fuse_file_info *info)
{
    struct opened *opened = calloc(1, sizeof *opened);
    int result = -EIO;
    if (opened == NULL)
        return -ENOMEM;
    pass();
    do {
        struct session *session = take(NULL);
        if (session == NULL)
            break;
        opened->session = session;
        opened->epoch = session->epoch;
        result = give(session, nfs_open(session->nfs, path, O_RDONLY, &opened->file));
    } while (result == -EIO && hard);
    if (result < 0)
        free(opened);
    else
        info->fh = (uintptr_t)opened;
    return result < 0 ? result : 0;
}

static int read_file(const char *path, char *data, size_t length, off_t offset, struct fuse_file_info *info)
{
    struct opened *opened = (struct opened *)(uintptr_t)info->fh;
    pass();
    struct session *session = take(opened->session);
    size_t done = 0;
    (void)path;
    if (session == NULL)
        return -EIO;
    int result = session->epoch == opened->epoch ? 0 : -ESTALE;
    while (result == 0 && done < length) {
        int count = nfs_pread(session->nfs, opened->file, (uint64_t)offset + done, length - done, data + done);
        if (count == 0)
            break;
        result = count < 0 ? count : 0;
        done += count < 0 ? 0 : (size_t)count;
    }
    result = give(session, result);
    return result < 0 ? result : (int)done;
}

static int close_file(const char *path, struct fuse_file_info *info)
{
    struct opened *opened = (struct opened *)(uintptr_t)info->fh;
    struct session *session = take(opened->session);
    (void)path;
    if (session != NULL)
        give(session, session->epoch == opened->epoch ? nfs_close(session->nfs, opened->file) : 0);
    free(opened);
    return 0;
}

static int get_system(const char *path, struct statvfs *status)
{
    int result;
    pass();
    do {
        struct session *session = take(NULL);
        result = session == NULL ? -EIO : give(session, nfs_statvfs(session->nfs, path, status));
    } while (result == -EIO && hard);
    return result;
}

/* ---- writing: calls that fail are not tried again, since they may have been carried out ---- */

/* What is made belongs to whoever makes it. */
static struct session *take_for_caller(void)
{
    pass();
    struct session *session = take(NULL);
    if (session != NULL) {
        nfs_set_uid(session->nfs, (int)fuse_get_context()->uid);
        nfs_set_gid(session->nfs, (int)fuse_get_context()->gid);
    }
    return session;
}

static int give_back(struct session *session, int result)
{
    if (session == NULL)
        return -EIO;
    nfs_set_uid(session->nfs, 0);
    nfs_set_gid(session->nfs, 0);
    return give(session, result);
}

static int create_file(const char *path, mode_t mode, struct fuse_file_info *info)
{
    struct opened *opened = calloc(1, sizeof *opened);
    struct session *session = take_for_caller();
    if (opened == NULL || session == NULL) {
        free(opened);
        return give_back(session, -ENOMEM);
    }
    opened->session = session;
    opened->epoch = session->epoch;
    int result = give_back(session,
                           nfs_open2(session->nfs, path, info->flags | O_CREAT, (int)mode, &opened->file));
    if (result < 0)
        free(opened);
    else
        info->fh = (uintptr_t)opened;
    return result < 0 ? result : 0;
}

static int write_file(const char *path, const char *data, size_t length, off_t offset,
                      struct fuse_file_info *info)
{
    struct opened *opened = (struct opened *)(uintptr_t)info->fh;
    pass();
    struct session *session = take(opened->session);
    (void)path;
    size_t done = 0;
    if (session == NULL)
        return -EIO;
    int result = session->epoch == opened->epoch ? 0 : -ESTALE;
    while (result == 0 && done < length) {
        size_t piece = length - done < WRITE_BYTES ? length - done : WRITE_BYTES;
        int count = nfs_pwrite(session->nfs, opened->file, (uint64_t)offset + done, piece, data + done);
        result = count < 0 ? count : 0;
        done += count < 0 ? 0 : (size_t)count;
    }
    result = give(session, result);
    return result < 0 ? result : (int)done;
}

static int make_folder(const char *path, mode_t mode)
{
    struct session *session = take_for_caller();
    return give_back(session, session == NULL ? 0 : nfs_mkdir2(session->nfs, path, (int)mode));
}

static int remove_file(const char *path)
{
    struct session *session = take_for_caller();
    return give_back(session, session == NULL ? 0 : nfs_unlink(session->nfs, path));
}

static int rename_file(const char *from, const char *to, unsigned flags)
{
    struct session *session = take_for_caller();
    (void)flags;
    return give_back(session, session == NULL ? 0 : nfs_rename(session->nfs, from, to));
}

static int set_times(const char *path, const struct timespec times[2], struct fuse_file_info *info)
{
    struct session *session = take_for_caller();
    struct timeval both[2] = {{times[0].tv_sec, times[0].tv_nsec / 1000},
                              {times[1].tv_sec, times[1].tv_nsec / 1000}};
    struct nfs_stat_64 now;
    (void)info;
    if (session != NULL && nfs_lstat64(session->nfs, path, &now) == 0)
        for (int i = 0; i < 2; i++) {
            if (times[i].tv_nsec == UTIME_NOW)
                gettimeofday(&both[i], NULL);
            if (times[i].tv_nsec == UTIME_OMIT)
                both[i] = (struct timeval){(time_t)(i == 0 ? now.nfs_atime : now.nfs_mtime), 0};
        }
    return give_back(session, session == NULL ? 0 : nfs_utimes(session->nfs, path, both));
}

static void *settings(struct fuse_conn_info *connection, struct fuse_config *config)
{
    (void)connection;
    config->use_ino = 1;
    config->attr_timeout = config->entry_timeout = config->negative_timeout = 0;
    return NULL;
}

int main(int argc, char **argv)
{
    static const struct fuse_operations operations = {.init = settings,
                                                      .getattr = get_attributes,
                                                      .readlink = read_link,
                                                      .readdir = list,
                                                      .open = open_file,
                                                      .read = read_file,
                                                      .release = close_file,
                                                      .statfs = get_system,
                                                      .create = create_file,
                                                      .write = write_file,
                                                      .mkdir = make_folder,
                                                      .unlink = remove_file,
                                                      .rename = rename_file,
                                                      .utimens = set_times};
    if (argc < 4)
        return 2;
    url = argv[1];
    hard = strcmp(argv[2], "hard") == 0;
    patience_ms = hard ? 1000 : atoi(argv[2]);
    for (unsigned i = 0; i < SESSIONS; i++)
        pthread_mutex_init(&sessions[i].busy, NULL);
    struct session *first = take(NULL);
    if (first == NULL)
        return 1; /* no mount rather than one that answers nothing but EIO */
    pthread_mutex_unlock(&first->busy);
    pthread_t obeys;
    if (pthread_create(&obeys, NULL, obey, NULL) != 0)
        return 1;
    argv[2] = argv[0];
    return fuse_main(argc - 2, argv + 2, &operations, NULL);
}
