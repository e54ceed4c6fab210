/* The pyramid index: nothing wrong is found, whatever happens to processes and files. */
#include "tests/unit/shm/pyramid_index.h"

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
    /* It is there for handlers (shm/pyramid_index.h): NOLINTNEXTLINE(bugprone-signal-handler) */
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
        int all_are_there[2];
        char byte = 0;
        assert_int_equal(pipe(all_are_there), 0);
        pid_t child = fork();
        if (child == 0) {
            struct shm_index *index = open_index();
            for (uint64_t version = round * 1000 + 1;; version++) {
                for (unsigned number = 0; number < SOURCES; number++)
                    put_with_blobs(index, number, version);
                shm_index_settle(index);
                if (version == round * 1000 + 1 && write(all_are_there[1], "!", 1) != 1)
                    _exit(1);
            }
        }
        close(all_are_there[1]);
        if (round > 0) /* the first is killed while there is nothing yet, or something */
            assert_int_equal(read(all_are_there[0], &byte, 1), 1);
        const struct timespec pause = {.tv_nsec = 60000000 + 7000000 * (long)round};
        nanosleep(&pause, NULL);
        kill(child, SIGKILL);
        assert_int_equal(waitpid(child, NULL, 0), child);
        close(all_are_there[0]);
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
