/* What the tests of the pyramid index share: an index in a folder of its own, records that tell their number and version by every
 * byte, and processes. LMDB allows a process to open a file once only, so each further user is a child. */
#ifndef TESTS_UNIT_SHM_PYRAMID_INDEX_H
#define TESTS_UNIT_SHM_PYRAMID_INDEX_H

#include "shm/pyramid_index.h"

#include "base/own.h"
#include "base/sanitizer.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include <cmocka.h>

#define UNUSED __attribute__((unused))
#define MIB    ((size_t)1 << 20)

static char home[64], file[96];
static struct shm_index_shared *shared;

/* ---- children ---- */

/* Children are forked by a process that is older than the first thread: in the child of a process that has threads,
 * ThreadSanitizer allows no others. One child at a time. */
static UNUSED int nursery;
static UNUSED pid_t nurse;

static UNUSED void bring_up_children(int line)
{
    int (*body)(void);
    while (read(line, &body, sizeof body) == (ssize_t)sizeof body) {
        pid_t pid = fork();
        if (pid == 0)
            _exit(body());
        int status = 0;
        if (waitpid(pid, &status, 0) != pid || write(line, &status, sizeof status) != (ssize_t)sizeof status)
            _exit(1);
    }
    _exit(0);
}

static UNUSED int open_nursery(void)
{
    int line[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, line) != 0)
        return -1;
    fflush(NULL);
    nurse = fork();
    if (nurse == 0) {
        close(line[0]);
        bring_up_children(line[1]);
    }
    close(line[1]);
    nursery = line[0];
    return nurse > 0 ? 0 : -1;
}

static UNUSED void begin_child(int (*body)(void))
{
    fflush(NULL);
    assert_int_equal(write(nursery, &body, sizeof body), sizeof body);
}

/* Its exit status, or minus the signal that ended it. */
static UNUSED int end_child(void)
{
    int status = 0;
    assert_int_equal(read(nursery, &status, sizeof status), sizeof status);
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

/* Runs `body` in a process of its own. */
static UNUSED int in_child(int (*body)(void))
{
    begin_child(body);
    return end_child();
}

/* ---- a place for each test ---- */

static UNUSED int setup(void **state)
{
    (void)state;
    strcpy(home, "/tmp/vitrine-index-XXXXXX");
    if (mkdtemp(home) == NULL)
        return -1;
    snprintf(file, sizeof file, "%s/pyramids-1.mdb", home);
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return shared != MAP_FAILED ? open_nursery() : -1;
}

static UNUSED int teardown(void **state)
{
    (void)state;
    char command[96];
    close(nursery);
    waitpid(nurse, NULL, 0);
    munmap(shared, sizeof *shared);
    snprintf(command, sizeof command, "rm -r %s", home);
    return system(command);
}

static UNUSED struct shm_index *open_sized(size_t least_bytes, size_t most_bytes, uint64_t dialect)
{
    const struct shm_index_options options = {.directory = home,
                                              .dialect = dialect,
                                              .least_bytes = least_bytes,
                                              .most_bytes = most_bytes,
                                              .shared = shared};
    struct shm_index *index = NULL;
    struct err err;
    if (shm_index_open(&options, &index, &err) != RC_OK)
        fail_msg("%s", err.message);
    return index;
}

static UNUSED struct shm_index *open_index(void)
{
    return open_sized(MIB, 64 * MIB, 1);
}

static UNUSED struct shm_index_key key_of(unsigned number)
{
    char path[32];
    snprintf(path, sizeof path, "folder/%u.tif", number);
    return shm_index_key(7, path, 1);
}

/* A record that tells its number and version by every byte. */
static UNUSED void make_record(unsigned number, uint64_t version, size_t length, struct bytes *record)
{
    record->length = 0;
    assert_int_equal(bytes_reserve(record, length, NULL), RC_OK);
    for (size_t i = 0; i < length; i++)
        record->data[i] = (uint8_t)(number * 31 + version * 7 + i);
    record->length = length;
}

static UNUSED void put_record(struct shm_index *index, unsigned number, uint64_t version, size_t length)
{
    OWN(bytes_done) struct bytes record = {0};
    struct shm_index_key key = key_of(number);
    make_record(number, version, length, &record);
    shm_index_put(index, &key, version, &record, NULL, 0);
}

/* 1: found as it was put; 0: not found; a wrong one ends the test. */
static UNUSED int has_record(struct shm_index *index, unsigned number, uint64_t version, size_t length)
{
    OWN(bytes_done) struct bytes wanted = {0}, found = {0};
    struct shm_index_key key = key_of(number);
    uint64_t found_version = 0;
    if (!shm_index_get(index, &key, true, &found_version, &found))
        return 0;
    make_record(number, version, length, &wanted);
    if (found_version != version || found.length != length || memcmp(found.data, wanted.data, length) != 0)
        abort();
    return 1;
}

static UNUSED void put_tiles(struct shm_index *index, unsigned number, uint64_t version, uint32_t level)
{
    OWN(bytes_done) struct bytes tiles = {0};
    struct shm_index_key key = key_of(number);
    make_record(number + level, version, 3000, &tiles);
    shm_index_put_tiles(index, &key, version, level, &tiles);
}

static UNUSED bool has_tiles(struct shm_index *index, unsigned number, uint64_t version, uint32_t level)
{
    OWN(bytes_done) struct bytes wanted = {0}, found = {0};
    struct shm_index_key key = key_of(number);
    if (!shm_index_get_tiles(index, &key, version, level, &found))
        return false;
    make_record(number + level, version, 3000, &wanted);
    assert_int_equal(found.length, 3000);
    assert_memory_equal(found.data, wanted.data, 3000);
    return true;
}

static UNUSED uint64_t value_of(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

#endif
