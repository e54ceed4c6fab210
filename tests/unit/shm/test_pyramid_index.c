/* The pyramid index: what was put is found by every process, and nothing wrong ever, whatever happens to processes and
 * files. LMDB allows a process to open a file once only, so each further user is a child. */
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

#define MIB ((size_t)1 << 20)

static char home[64], file[96];
static struct shm_index_shared *shared;

/* ---- children ---- */

/* Children are forked by a process that is older than the first thread: in the child of a process that has threads,
 * ThreadSanitizer allows no others. One child at a time. */
static int nursery;
static pid_t nurse;

static void bring_up_children(int line)
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

static int open_nursery(void)
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

static void begin_child(int (*body)(void))
{
    fflush(NULL);
    assert_int_equal(write(nursery, &body, sizeof body), sizeof body);
}

/* Its exit status, or minus the signal that ended it. */
static int end_child(void)
{
    int status = 0;
    assert_int_equal(read(nursery, &status, sizeof status), sizeof status);
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

/* Runs `body` in a process of its own. */
static int in_child(int (*body)(void))
{
    begin_child(body);
    return end_child();
}

/* ---- a place for each test ---- */

static int setup(void **state)
{
    (void)state;
    strcpy(home, "/tmp/vitrine-index-XXXXXX");
    if (mkdtemp(home) == NULL)
        return -1;
    snprintf(file, sizeof file, "%s/pyramids-1.mdb", home);
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return shared != MAP_FAILED ? open_nursery() : -1;
}

static int teardown(void **state)
{
    (void)state;
    char command[96];
    close(nursery);
    waitpid(nurse, NULL, 0);
    munmap(shared, sizeof *shared);
    snprintf(command, sizeof command, "rm -r %s", home);
    return system(command);
}

/* ---- a few words for all tests ---- */

static struct shm_index *open_sized(size_t least_bytes, size_t most_bytes, uint64_t dialect)
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

static struct shm_index *open_index(void)
{
    return open_sized(MIB, 64 * MIB, 1);
}

static struct shm_index_key key_of(unsigned number)
{
    char path[32];
    snprintf(path, sizeof path, "folder/%u.tif", number);
    return shm_index_key(7, path, 1);
}

/* A record that tells its number and version by every byte. */
static void make_record(unsigned number, uint64_t version, size_t length, struct bytes *record)
{
    record->length = 0;
    assert_int_equal(bytes_reserve(record, length, NULL), RC_OK);
    for (size_t i = 0; i < length; i++)
        record->data[i] = (uint8_t)(number * 31 + version * 7 + i);
    record->length = length;
}

static void put_record(struct shm_index *index, unsigned number, uint64_t version, size_t length)
{
    OWN(bytes_done) struct bytes record = {0};
    struct shm_index_key key = key_of(number);
    make_record(number, version, length, &record);
    shm_index_put(index, &key, version, &record, NULL, 0);
}

/* 1: found as it was put; 0: not found; a wrong one ends the test. */
static int has_record(struct shm_index *index, unsigned number, uint64_t version, size_t length)
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

static void put_tiles(struct shm_index *index, unsigned number, uint64_t version, uint32_t level)
{
    OWN(bytes_done) struct bytes tiles = {0};
    struct shm_index_key key = key_of(number);
    make_record(number + level, version, 3000, &tiles);
    shm_index_put_tiles(index, &key, version, level, &tiles);
}

static bool has_tiles(struct shm_index *index, unsigned number, uint64_t version, uint32_t level)
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

static uint64_t value_of(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

/* ---- what is put is found ---- */

static int child_finds_three(void)
{
    struct shm_index *index = open_index();
    int found = has_record(index, 1, 11, 150) + has_record(index, 2, 12, 5000) + has_record(index, 3, 13, 1);
    bool tiles = has_tiles(index, 2, 12, 0) && has_tiles(index, 2, 12, 5) && !has_tiles(index, 2, 13, 5);
    shm_index_close(&index);
    return tiles ? found : 100 + found;
}

static void test_found_by_others_and_after_a_restart(void **state)
{
    (void)state;
    struct shm_index *index = open_index();
    assert_int_equal(has_record(index, 1, 11, 150), 0);
    put_record(index, 1, 11, 150);
    put_record(index, 2, 12, 5000);
    put_record(index, 3, 13, 1);
    put_tiles(index, 2, 12, 0);
    put_tiles(index, 2, 12, 5);
    shm_index_settle(index);
    assert_int_equal(has_record(index, 2, 12, 5000), 1);
    assert_int_equal(in_child(child_finds_three), 3);
    shm_index_close(&index);
    assert_int_equal(in_child(child_finds_three), 3);
    assert_int_equal(value_of(&shared->hits), 7);
    assert_int_equal(value_of(&shared->misses), 1);
    assert_int_equal(value_of(&shared->written), 3);
}

static void test_closing_writes_what_is_queued(void **state)
{
    (void)state;
    struct shm_index *index = open_index();
    for (unsigned i = 0; i < 3000; i++)
        put_record(index, i, 5, 150);
    shm_index_close(&index);
    index = open_index();
    for (unsigned i = 0; i < 3000; i++)
        assert_int_equal(has_record(index, i, 5, 150), 1);
    shm_index_close(&index);
}

static void test_keys_tell_apart(void **state)
{
    (void)state;
    const struct shm_index_key key[] = {shm_index_key(1, "a", 1), shm_index_key(1, "a", 2),
                                        shm_index_key(2, "a", 1), shm_index_key(1, "b", 1),
                                        shm_index_key(1, "", 1)};
    for (size_t i = 0; i < sizeof key / sizeof key[0]; i++)
        for (size_t j = 0; j < i; j++)
            assert_memory_not_equal(&key[i], &key[j], sizeof key[0]);
}

static void test_a_new_version_ends_the_old_one(void **state)
{
    (void)state;
    struct shm_index *index = open_index();
    for (uint32_t level = 0; level < 7; level++)
        put_tiles(index, 1, 11, level);
    put_record(index, 1, 11, 150);
    put_tiles(index, 2, 12, 3);
    put_record(index, 2, 12, 150);
    put_record(index, 1, 11, 150); /* the same again: its tiles stay */
    shm_index_settle(index);
    put_record(index, 1, 11, 150);
    shm_index_settle(index);
    assert_true(has_tiles(index, 1, 11, 6));
    put_record(index, 1, 14, 160);
    shm_index_settle(index);
    assert_int_equal(has_record(index, 1, 14, 160), 1);
    for (uint32_t level = 0; level < 7; level++)
        assert_false(has_tiles(index, 1, 11, level));
    assert_true(has_tiles(index, 2, 12, 3));

    struct shm_index_key key = key_of(2);
    shm_index_remove(index, &key);
    shm_index_remove(index, &key);
    shm_index_settle(index);
    assert_int_equal(has_record(index, 2, 12, 150), 0);
    assert_false(has_tiles(index, 2, 12, 3));
    shm_index_close(&index);
}

static void test_blobs_are_stored_once(void **state)
{
    (void)state;
    struct shm_index *index = open_sized(MIB, 16 * MIB, 1);
    OWN(bytes_done) struct bytes profile = {0}, record = {0}, found = {0};
    make_record(1, 1, 100000, &profile);
    const struct shm_index_blob blob = {.id = shm_index_blob_id(profile.data, profile.length),
                                        .data = profile.data,
                                        .length = profile.length};
    for (unsigned i = 0; i < 500; i++) { /* 50 MB if each had its own */
        struct shm_index_key key = key_of(i);
        make_record(i, 1, 100, &record);
        shm_index_put(index, &key, 1, &record, &blob, 1);
        if (i % 50 == 0)
            shm_index_settle(index);
    }
    shm_index_settle(index);
    assert_int_equal(value_of(&shared->dropped), 0);
    assert_int_equal(value_of(&shared->generation), 0);
    assert_true(shm_index_get_blob(index, blob.id, &found));
    assert_int_equal(found.length, profile.length);
    assert_memory_equal(found.data, profile.data, found.length);
    assert_false(shm_index_get_blob(index, blob.id + 1, &found));

    /* Other bytes under that id: such a record is left out. */
    profile.data[5] ^= 1;
    struct shm_index_key key = key_of(1000);
    make_record(1000, 1, 100, &record);
    shm_index_put(index, &key, 1, &record, &blob, 1);
    shm_index_settle(index);
    assert_int_equal(has_record(index, 1000, 1, 100), 0);
    assert_int_equal(value_of(&shared->dropped), 1);
    shm_index_close(&index);
}

static void test_another_dialect_is_not_understood(void **state)
{
    (void)state;
    struct shm_index *index = open_index();
    put_record(index, 1, 11, 150);
    shm_index_close(&index);
    index = open_sized(MIB, 64 * MIB, 2);
    assert_int_equal(has_record(index, 1, 11, 150), 0);
    assert_int_equal(value_of(&shared->refused), 1);
    put_record(index, 1, 11, 150);
    shm_index_settle(index);
    assert_int_equal(has_record(index, 1, 11, 150), 1);
    shm_index_close(&index);
}

/* ---- size ---- */

static void test_bytes_of_a_record(void **state)
{
    (void)state;
    enum { COUNT = 100000 };
    struct shm_index *index = open_sized(64 * MIB, 64 * MIB, 1);
    for (unsigned i = 0; i < COUNT; i++) {
        put_record(index, i, 5, 120);
        if (i % 20000 == 0)
            shm_index_settle(index);
    }
    shm_index_close(&index);
    struct stat st;
    assert_int_equal(stat(file, &st), 0);
    print_message("%.1f bytes of the file for each of %d records\n", (double)st.st_size / COUNT, COUNT);
    assert_true(st.st_size / COUNT <= 300);
    assert_int_equal(value_of(&shared->dropped), 0);
}

static int child_reads_what_has_grown(void)
{
    struct shm_index *index = open_sized(MIB, 64 * MIB, 1);
    int found = has_record(index, 1, 1, 150);
    atomic_store(&shared->written, 1000000); /* tell the parent, and wait until it has grown the file */
    while (atomic_load(&shared->written) != 0)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    for (int i = 0; i < 5000 && has_record(index, 9999, 1, 150) == 0; i++)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    for (unsigned i = 0; i < 10000; i += 99)
        found += has_record(index, i, 1, 150);
    put_record(index, 77777, 1, 150);
    shm_index_close(&index);
    return found == 103 ? 0 : 1;
}

static void test_grows_under_other_processes(void **state)
{
    (void)state;
    struct shm_index *index = open_sized(MIB, 64 * MIB, 1);
    put_record(index, 1, 1, 150);
    shm_index_settle(index);
    begin_child(child_reads_what_has_grown);
    while (atomic_load(&shared->written) != 1000000)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    for (unsigned i = 0; i < 10000; i++)
        put_record(index, i, 1, 150);
    for (unsigned i = 0; i < 500; i++)
        put_tiles(index, i, 1, 0);
    shm_index_settle(index);
    struct stat st;
    assert_int_equal(stat(file, &st), 0);
    assert_true((size_t)st.st_size > 3 * MIB);
    atomic_store(&shared->written, 0);
    assert_int_equal(end_child(), 0);
    assert_int_equal(has_record(index, 77777, 1, 150), 1);
    assert_int_equal(value_of(&shared->generation), 0);
    shm_index_close(&index);
}

static void test_begins_anew_when_it_is_full(void **state)
{
    (void)state;
    struct shm_index *index = open_sized(MIB, 2 * MIB, 1);
    for (unsigned i = 0; i < 30000; i++) {
        put_record(index, i, 1, 150);
        if (i % 1000 == 0)
            shm_index_settle(index);
    }
    shm_index_settle(index);
    assert_int_equal(has_record(index, 29999, 1, 150), 1);
    assert_int_equal(has_record(index, 0, 1, 150), 0);
    assert_true(value_of(&shared->generation) > 0);
    struct stat st;
    assert_int_equal(stat(file, &st), 0);
    assert_true((size_t)st.st_size <= 2 * MIB);
    shm_index_close(&index);
}

/* ---- damage ---- */

static void write_garbage(const char *path, size_t length)
{
    OWN_FREE uint8_t *data = malloc(length);
    OWN_FD int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    uint32_t random = 12345;
    for (size_t i = 0; i < length; i++)
        data[i] = (uint8_t)((random = random * 1664525 + 1013904223) >> 24);
    assert_int_equal(write(fd, data, length), length);
}

static void fill_and_close(unsigned count)
{
    struct shm_index *index = open_index();
    for (unsigned i = 0; i < count; i++)
        put_record(index, i, 1, 150);
    shm_index_close(&index);
}

static void assert_works(void)
{
    struct shm_index *index = open_index();
    put_record(index, 5, 2, 150);
    shm_index_settle(index);
    assert_int_equal(has_record(index, 5, 2, 150), 1);
    shm_index_close(&index);
}

static void test_files_that_are_no_index(void **state)
{
    (void)state;
    static const size_t lengths[] = {0, 1, 100, 4096, 8192, 100000};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        fill_and_close(100);
        write_garbage(file, lengths[i]);
        assert_works();
    }
    char lock[112];
    snprintf(lock, sizeof lock, "%s-lock", file);
    write_garbage(lock, 10000);
    assert_works();
    unlink(lock);
    assert_works();
    unlink(file);
    assert_works();
}

static void test_a_truncated_file(void **state)
{
    (void)state;
    fill_and_close(3000);
    struct stat st;
    assert_int_equal(stat(file, &st), 0);
    for (off_t pages = st.st_size / 4096 - 1; pages > 0; pages -= 7) {
        assert_int_equal(truncate(file, pages * 4096), 0);
        assert_works();
        unlink(file);
        fill_and_close(3000);
    }
}

/* What a worker does: a fault inside the index puts it in doubt; then the process dies of it. */
static void on_fault(int number)
{
    if (!shm_index_fault())
        _exit(99);
    signal(number, SIG_DFL);
    raise(number);
}

static int child_reads_what_there_is(void)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGABRT};
    for (size_t i = 0; i < 3; i++)
        signal(faults[i], on_fault);
    if (freopen("/dev/null", "w", stderr) == NULL) /* LMDB's own words before it aborts */
        return 97;
    struct shm_index *index = open_index();
    for (unsigned i = 0; i < 3000; i++)
        has_record(index, i, 1, 150);
    put_record(index, 1, 1, 150);
    shm_index_settle(index);
    has_record(index, 1, 1, 150);
    shm_index_close(&index);
    return 0;
}

/* Any byte may be another: nothing wrong is found, and after at most one death it works again. */
static void test_damaged_pages(void **state)
{
    (void)state;
    if (BASE_UNDER_SANITIZER)
        skip();
    fill_and_close(3000);
    struct stat st;
    assert_int_equal(stat(file, &st), 0);
    OWN_FREE uint8_t *whole = malloc((size_t)st.st_size);
    OWN_FD int fd = open(file, O_RDWR);
    assert_int_equal(pread(fd, whole, (size_t)st.st_size, 0), st.st_size);
    uint32_t random = 99;
    unsigned deaths = 0;
    for (int round = 0; round < 60; round++) {
        OWN_FD int damaged = open(file, O_RDWR | O_CREAT | O_TRUNC, 0600);
        assert_int_equal(pwrite(damaged, whole, (size_t)st.st_size, 0), st.st_size);
        for (int i = 0; i < 1 << round % 10; i++) {
            random = random * 1664525 + 1013904223;
            uint8_t byte = (uint8_t)(random >> 9);
            assert_int_equal(pwrite(damaged, &byte, 1, (off_t)(random >> 4) % st.st_size), 1);
        }
        int first = in_child(child_reads_what_there_is);
        assert_true(first == 0 || first == -SIGSEGV || first == -SIGBUS || first == -SIGABRT);
        if (first != 0) {
            deaths++;
            assert_int_equal(in_child(child_reads_what_there_is), 0);
        }
    }
    print_message("%u of 60 damaged files were fatal once\n", deaths);
}

static int child_is_truncated_under(void)
{
    signal(SIGBUS, on_fault);
    struct shm_index *index = open_index();
    if (truncate(file, 4096 * 2) != 0)
        return 98;
    for (unsigned i = 0; i < 3000; i++)
        has_record(index, i, 1, 150);
    return 0;
}

static void test_truncated_while_it_is_open(void **state)
{
    (void)state;
    if (BASE_UNDER_SANITIZER)
        skip();
    fill_and_close(3000);
    assert_int_equal(in_child(child_is_truncated_under), -SIGBUS);
    assert_int_equal(value_of(&shared->doubted), value_of(&shared->generation) + 1);
    assert_works();
    assert_int_equal(value_of(&shared->doubted), value_of(&shared->generation));
}

static int child_doubts(void)
{
    atomic_store(&shared->doubted, atomic_load(&shared->generation) + 1);
    assert_works();
    return 0;
}

static void test_thrown_away_by_another_process(void **state)
{
    (void)state;
    struct shm_index *index = open_index();
    put_record(index, 1, 1, 150);
    shm_index_settle(index);
    assert_int_equal(in_child(child_doubts), 0);
    assert_int_equal(has_record(index, 1, 1, 150), 0);
    put_record(index, 2, 1, 150);
    shm_index_settle(index);
    assert_int_equal(has_record(index, 2, 1, 150), 1);
    assert_int_equal(has_record(index, 5, 2, 150), 1); /* the other's */
    shm_index_close(&index);
}

static void test_removed_under_us(void **state)
{
    (void)state;
    struct shm_index *index = open_index();
    put_record(index, 1, 1, 150);
    shm_index_settle(index);
    assert_int_equal(unlink(file), 0);
    put_record(index, 2, 1, 150);
    shm_index_settle(index);
    assert_int_equal(has_record(index, 2, 1, 150), 1);
    shm_index_close(&index);
    index = open_index();
    assert_int_equal(has_record(index, 2, 1, 150), 1);
    shm_index_close(&index);
}

/* ---- deaths ---- */

__attribute__((noreturn)) static void child_writes_for_ever(void)
{
    struct shm_index *index = open_index();
    for (unsigned i = 0;; i++) {
        put_record(index, i % 500, i / 500 + 2, 150 + i % 7);
        put_tiles(index, i % 500, i / 500 + 2, i % 3);
        if (i % 64 == 0)
            shm_index_settle(index);
        has_record(index, 7777, 1, 150);
    }
}

/* Wherever a writer is killed: the next one goes on, and what was committed is whole. */
static void test_writers_that_are_killed(void **state)
{
    (void)state;
    struct shm_index *index = open_index();
    put_record(index, 7777, 1, 150);
    shm_index_settle(index);
    for (unsigned round = 0; round < 30; round++) {
        fflush(NULL);
        pid_t pid[2];
        for (int i = 0; i < 2; i++)
            if ((pid[i] = fork()) == 0)
                child_writes_for_ever();
        nanosleep(&(struct timespec){.tv_nsec = 5000000L + 700001L * round}, NULL);
        for (int i = 0; i < 2; i++) {
            kill(pid[i], SIGKILL);
            assert_int_equal(waitpid(pid[i], NULL, 0), pid[i]);
        }
        put_record(index, 100000 + round, 1, 150);
        shm_index_settle(index);
        assert_int_equal(has_record(index, 100000 + round, 1, 150), 1);
        assert_int_equal(has_record(index, 7777, 1, 150), 1);
    }
    assert_int_equal(value_of(&shared->generation), 0);
    assert_int_equal(value_of(&shared->refused), 0);
    shm_index_close(&index);
}

/* A record with blobs of its own, and one that it shares with all others. */
static void put_with_blobs(struct shm_index *index, unsigned number, uint64_t version)
{
    OWN(bytes_done) struct bytes record = {0};
    struct shm_index_key key = key_of(number);
    char own[600], common[200];
    memset(own, 'o', sizeof own);
    memset(common, 'c', sizeof common);
    snprintf(own, sizeof own, "%u %llu", number, (unsigned long long)version);
    const struct shm_index_blob blobs[] = {
        {shm_index_blob_id((uint8_t *)own, sizeof own), (uint8_t *)own, sizeof own},
        {shm_index_blob_id((uint8_t *)common, sizeof common), (uint8_t *)common, sizeof common}};
    make_record(number, version, 100, &record);
    shm_index_put(index, &key, version, &record, blobs, 2);
}

static bool has_blob(struct shm_index *index, unsigned number, uint64_t version)
{
    OWN(bytes_done) struct bytes out = {0};
    char own[600];
    memset(own, 'o', sizeof own);
    snprintf(own, sizeof own, "%u %llu", number, (unsigned long long)version);
    return shm_index_get_blob(index, shm_index_blob_id((uint8_t *)own, sizeof own), &out);
}

/* Sources that are replaced over and over, and some that are deleted: what they needed goes, what is needed stays. */
static void test_blobs_that_nobody_needs_go(void **state)
{
    enum { SOURCES = 200, VERSIONS = 60 };
    (void)state;
    struct shm_index *index = open_index();
    struct stat at_ten, at_end;
    for (uint64_t version = 1; version <= VERSIONS; version++) {
        for (unsigned number = 0; number < SOURCES; number++)
            put_with_blobs(index, number, version);
        shm_index_settle(index);
        if (version == 10)
            assert_int_equal(stat(file, &at_ten), 0);
    }
    assert_int_equal(stat(file, &at_end), 0);
    assert_true(at_end.st_size <= at_ten.st_size + (off_t)MIB);
    unsigned left = 0;
    for (uint64_t version = 1; version < VERSIONS; version++)
        for (unsigned number = 0; number < SOURCES; number++)
            left += has_blob(index, number, version);
    assert_true(left <= 2 * SOURCES + 256);
    for (unsigned number = 0; number < SOURCES; number++)
        assert_true(has_blob(index, number, VERSIONS));
    for (unsigned number = 0; number < SOURCES; number++) {
        struct shm_index_key key = key_of(number);
        shm_index_remove(index, &key);
    }
    for (unsigned number = 1000; number < 1000 + 3 * SOURCES; number++) /* the growth that makes it look */
        put_with_blobs(index, number, 1);
    shm_index_settle(index);
    left = 0;
    for (unsigned number = 0; number < SOURCES; number++)
        left += has_blob(index, number, VERSIONS);
    assert_int_equal(left, 0);
    for (unsigned number = 1000; number < 1000 + 3 * SOURCES; number++)
        assert_true(has_blob(index, number, 1));
    shm_index_close(&index);
}

/* Whenever it dies: each record that is there has what it needs. */
static void test_killed_while_blobs_are_collected(void **state)
{
    enum { SOURCES = 150, ROUNDS = 12 };
    (void)state;
    for (unsigned round = 0; round < ROUNDS; round++) {
        pid_t child = fork();
        if (child == 0) {
            struct shm_index *index = open_index();
            for (uint64_t version = round * 1000 + 1;; version++) {
                for (unsigned number = 0; number < SOURCES; number++)
                    put_with_blobs(index, number, version);
                shm_index_settle(index);
            }
        }
        const struct timespec pause = {.tv_nsec = 60000000 + 7000000 * (long)round};
        nanosleep(&pause, NULL);
        kill(child, SIGKILL);
        assert_int_equal(waitpid(child, NULL, 0), child);
        struct shm_index *index = open_index();
        unsigned found = 0;
        for (unsigned number = 0; number < SOURCES; number++) {
            OWN(bytes_done) struct bytes out = {0};
            struct shm_index_key key = key_of(number);
            uint64_t version = 0;
            if (!shm_index_get(index, &key, true, &version, &out))
                continue;
            found++;
            assert_true(has_blob(index, number, version));
        }
        assert_true(found == SOURCES || round == 0);
        shm_index_close(&index);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_found_by_others_and_after_a_restart),
        TEST(test_closing_writes_what_is_queued),
        TEST(test_keys_tell_apart),
        TEST(test_a_new_version_ends_the_old_one),
        TEST(test_blobs_are_stored_once),
        TEST(test_another_dialect_is_not_understood),
        TEST(test_bytes_of_a_record),
        TEST(test_grows_under_other_processes),
        TEST(test_begins_anew_when_it_is_full),
        TEST(test_files_that_are_no_index),
        TEST(test_a_truncated_file),
        TEST(test_damaged_pages),
        TEST(test_truncated_while_it_is_open),
        TEST(test_thrown_away_by_another_process),
        TEST(test_removed_under_us),
        TEST(test_blobs_that_nobody_needs_go),
        TEST(test_killed_while_blobs_are_collected),
        TEST(test_writers_that_are_killed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
