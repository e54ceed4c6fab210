/* Block files: what was written is read, and nothing else ever is. */
#include "cache/block_store.h"

#include "base/own.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <signal.h>
#include <unistd.h>

#include <cmocka.h>

#define SIZE (3 * BLOCK_BYTES + 1000u)

static char home[64];
static int directory = -1;
static struct block_memory memory;
static uint8_t content[SIZE];

static int setup(void **state)
{
    (void)state;
    snprintf(home, sizeof home, "/tmp/vitrine-blocks-XXXXXX");
    if (mkdtemp(home) == NULL)
        return -1;
    directory = open(home, O_PATH | O_DIRECTORY | O_CLOEXEC);
    memory = (struct block_memory){.most_bytes = 2 * BLOCK_BYTES};
    for (size_t i = 0; i < sizeof content; i++)
        content[i] = (uint8_t)(i * 2654435761u >> 13);
    return directory >= 0 ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    char command[96];
    close(directory);
    snprintf(command, sizeof command, "rm -r %s", home);
    return system(command);
}

static struct block_subject subject_of(const char *name, uint64_t inode)
{
    struct block_subject subject = {
        .version = {.size_bytes = SIZE, .inode = inode, .modified = {.tv_sec = 17, .tv_nsec = 4}},
        .etag = "\"tag\""};
    snprintf(subject.name, sizeof subject.name, "%s", name);
    return subject;
}

static struct block_file *create(int fd, const char *name, uint64_t inode)
{
    struct block_subject subject = subject_of(name, inode);
    struct block_file *file = NULL;
    assert_int_equal(block_file_create(fd, &subject, &memory, &file, NULL), RC_OK);
    return file;
}

static void write_block(struct block_file *file, uint64_t block)
{
    assert_int_equal(block_file_write(file, block, content + block * BLOCK_BYTES, NULL), RC_OK);
}

static enum rc read_some(struct block_file *file, uint64_t offset, size_t length)
{
    static uint8_t read[SIZE];
    memset(read, 0xee, sizeof read);
    enum rc rc = block_file_read(file, read, length, offset, IMAGE_BLOB_MAY_BLOCK, NULL);
    if (rc == RC_OK)
        assert_memory_equal(read, content + offset, length);
    return rc;
}

static void check_reads(struct block_file *file)
{
    assert_int_equal(read_some(file, 0, SIZE), RC_AWAY);
    write_block(file, 1);
    write_block(file, 3);
    assert_int_equal(read_some(file, BLOCK_BYTES, BLOCK_BYTES), RC_OK);
    assert_int_equal(read_some(file, BLOCK_BYTES + 7, 100), RC_OK);
    assert_int_equal(read_some(file, BLOCK_BYTES - 1, 2), RC_AWAY);
    assert_int_equal(read_some(file, 3 * BLOCK_BYTES + 999, 1), RC_OK);
    assert_true(block_file_has(file, 3));
    assert_false(block_file_has(file, 2));
}

static void test_reads_what_was_written(void **state)
{
    (void)state;
    struct block_file *file = create(directory, "a", 1);
    check_reads(file);
    write_block(file, 0);
    write_block(file, 2);
    assert_int_equal(read_some(file, 0, SIZE), RC_OK);
    assert_int_equal(memory.used_bytes, 0);
    block_file_close(&file);
}

static void test_other_processes_find_it(void **state)
{
    (void)state;
    struct block_file *ours = create(directory, "a", 1), *theirs = NULL;
    assert_int_equal(block_file_open(directory, "b", &memory, &theirs, NULL), RC_NOT_FOUND);
    assert_int_equal(block_file_open(directory, "a", &memory, &theirs, NULL), RC_OK);
    assert_string_equal(block_file_subject(theirs)->etag, "\"tag\"");
    assert_int_equal(origin_version_hash(&block_file_subject(theirs)->version),
                     origin_version_hash(&block_file_subject(ours)->version));
    assert_int_equal(read_some(theirs, 0, 1), RC_AWAY);
    write_block(ours, 0);
    assert_int_equal(read_some(theirs, 0, BLOCK_BYTES), RC_OK);
    block_file_confirm(ours, 4711);
    assert_int_equal(block_file_confirmed_ms(theirs), 4711);
    block_file_close(&ours);
    block_file_close(&theirs);
}

/* Two names may have the same hash. */
static void test_a_file_of_another_name_is_none(void **state)
{
    (void)state;
    struct block_file *ours = create(directory, "a", 1), *theirs = NULL;
    char one[BLOCK_FILE_LETTERS + 1], other[BLOCK_FILE_LETTERS + 1];
    block_file_letters("a", one);
    block_file_letters("b", other);
    assert_int_equal(renameat(directory, one, directory, other), 0);
    assert_int_equal(block_file_open(directory, "b", &memory, &theirs, NULL), RC_NOT_FOUND);
    block_file_close(&ours);
}

static void test_another_version_takes_the_place(void **state)
{
    (void)state;
    struct block_file *old = create(directory, "a", 1), *found = NULL;
    write_block(old, 0);
    struct block_file *fresh = create(directory, "a", 2);
    assert_int_equal(block_file_open(directory, "a", &memory, &found, NULL), RC_OK);
    assert_int_equal(block_file_subject(found)->version.inode, 2);
    assert_int_equal(read_some(found, 0, 1), RC_AWAY);
    assert_int_equal(read_some(old, 0, BLOCK_BYTES), RC_OK);
    block_file_close(&old);
    block_file_close(&fresh);
    block_file_close(&found);
}

/* Writes into the file behind its back. */
static void spoil(const char *name, off_t at)
{
    char letters[BLOCK_FILE_LETTERS + 1];
    block_file_letters(name, letters);
    OWN_FD int fd = openat(directory, letters, O_RDWR | O_CLOEXEC);
    uint8_t byte = 0;
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= 0x40;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
}

static void test_damage_is_seen(void **state)
{
    (void)state;
    struct block_file *file = create(directory, "a", 1), *again = NULL;
    for (uint64_t block = 0; block < 4; block++)
        write_block(file, block);
    block_file_close(&file);
    spoil("a", 8192 + 2 * BLOCK_BYTES + 5); /* a byte of block 2 */
    spoil("a", 4096 + 3 * 8);               /* the checksum of block 3 */
    assert_int_equal(block_file_open(directory, "a", &memory, &again, NULL), RC_OK);
    assert_int_equal(read_some(again, 0, 2 * BLOCK_BYTES), RC_OK);
    assert_int_equal(read_some(again, 2 * BLOCK_BYTES, 1), RC_AWAY);
    assert_int_equal(read_some(again, 3 * BLOCK_BYTES, 1), RC_AWAY);
    write_block(again, 2);
    assert_int_equal(read_some(again, 2 * BLOCK_BYTES, BLOCK_BYTES), RC_OK);
    block_file_close(&again);
    spoil("a", 20); /* the header */
    assert_int_equal(block_file_open(directory, "a", &memory, &again, NULL), RC_NOT_FOUND);
}

static void test_a_file_cut_off_is_none(void **state)
{
    (void)state;
    char letters[BLOCK_FILE_LETTERS + 1], path[160];
    struct block_file *file = create(directory, "a", 1);
    block_file_close(&file);
    block_file_letters("a", letters);
    snprintf(path, sizeof path, "%s/%s", home, letters);
    assert_int_equal(truncate(path, 9000), 0);
    assert_int_equal(block_file_open(directory, "a", &memory, &file, NULL), RC_NOT_FOUND);
}

static void test_memory_alone(void **state)
{
    (void)state;
    struct block_file *file = create(-1, "a", 1);
    check_reads(file);
    assert_int_equal(memory.used_bytes, 2 * BLOCK_BYTES);
    assert_int_equal(block_file_write(file, 0, content, NULL), RC_NO_MEMORY);
    block_file_close(&file);
    assert_int_equal(memory.used_bytes, 0);
}

/* A limit on the length of files fails a write as a full disk does, in the middle of a block. */
static void test_a_full_disk(void **state)
{
    (void)state;
    struct rlimit before, limit;
    struct block_file *file = create(directory, "a", 1), *again = NULL;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    limit = before;
    limit.rlim_cur = 8192 + BLOCK_BYTES + 500;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    write_block(file, 0);
    write_block(file, 1);
    struct block_file *other = create(directory, "b", 1); /* not even room for its length */
    write_block(other, 2);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(memory.used_bytes, 2 * BLOCK_BYTES);
    assert_int_equal(read_some(file, 0, 2 * BLOCK_BYTES), RC_OK);
    assert_int_equal(read_some(other, 2 * BLOCK_BYTES, BLOCK_BYTES), RC_OK);
    assert_int_equal(block_file_open(directory, "a", &memory, &again, NULL), RC_OK);
    assert_int_equal(read_some(again, 0, BLOCK_BYTES), RC_OK);
    assert_int_equal(read_some(again, BLOCK_BYTES, 1), RC_AWAY);
    block_file_close(&file);
    block_file_close(&other);
    block_file_close(&again);
}

static void test_the_store_keeps_its_bound(void **state)
{
    (void)state;
    struct block_store *store = NULL;
    struct block_file *file[8], *found = NULL;
    assert_int_equal(block_store_open(directory, 4 * (2 * BLOCK_BYTES + 16384), 0, &store, NULL), RC_OK);
    for (unsigned i = 0; i < 8; i++) {
        char name[8];
        snprintf(name, sizeof name, "%u", i);
        struct block_subject subject = subject_of(name, i);
        assert_int_equal(block_store_create(store, &subject, &file[i], NULL), RC_OK);
        write_block(file[i], 0);
        write_block(file[i], 1);
        usleep(5000); /* the clock of file times is coarse */
    }
    assert_int_equal(block_store_find(store, "0", &found, NULL), RC_OK); /* used again: it stays */
    block_file_close(&found);
    block_store_tidy(store);
    unsigned kept = 0;
    for (unsigned i = 0; i < 8; i++) {
        char name[8];
        snprintf(name, sizeof name, "%u", i);
        bool there = block_store_find(store, name, &found, NULL) == RC_OK;
        assert_int_equal(there, i == 0 || i >= 8 - kept || (i > 4 && there));
        kept += there;
        block_file_close(&found);
        assert_int_equal(read_some(file[i], 0, BLOCK_BYTES), RC_OK); /* for those who have it open, all are */
        block_file_close(&file[i]);
    }
    assert_in_range(kept, 3, 4);
    assert_int_equal(block_store_find(store, "1", &found, NULL), RC_NOT_FOUND);
    block_store_close(&store);
}

/* Called once, in place of the next read of that many bytes, which fails. */
static void (*at_read)(void);
static size_t at_length;

ssize_t pread(int fd, void *data, size_t length, off_t offset)
{
    void (*hook)(void) = length == at_length ? at_read : NULL;
    if (hook == NULL)
        return syscall(SYS_pread64, fd, data, length, offset);
    at_read = NULL;
    hook();
    errno = EIO;
    return -1;
}

static struct block_file *shared_file;

static void fail_alone(void)
{
}

static void another_is_quicker(void)
{
    at_read = fail_alone;
    assert_int_equal(read_some(shared_file, 0, 7), RC_AWAY);
    write_block(shared_file, 0); /* fetched again: into memory, as the disk fails */
    assert_int_equal(read_some(shared_file, 0, 7), RC_OK);
}

static void test_two_meet_a_disk_that_fails(void **state)
{
    (void)state;
    shared_file = create(directory, "failing", 1);
    write_block(shared_file, 0);
    at_length = 7;
    at_read = another_is_quicker;
    assert_int_equal(read_some(shared_file, 0, 7), RC_AWAY);
    assert_int_equal(read_some(shared_file, 0, 7), RC_OK);
    block_file_close(&shared_file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_reads_what_was_written, setup, teardown),
        cmocka_unit_test_setup_teardown(test_other_processes_find_it, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_file_of_another_name_is_none, setup, teardown),
        cmocka_unit_test_setup_teardown(test_another_version_takes_the_place, setup, teardown),
        cmocka_unit_test_setup_teardown(test_damage_is_seen, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_file_cut_off_is_none, setup, teardown),
        cmocka_unit_test_setup_teardown(test_memory_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_full_disk, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_store_keeps_its_bound, setup, teardown),
        cmocka_unit_test_setup_teardown(test_two_meet_a_disk_that_fails, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
