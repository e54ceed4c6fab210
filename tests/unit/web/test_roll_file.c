#include "worker/web/roll_file.h"

#include "base/own.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#define ROOT 77u

struct place {
    char path[64];
    int fd;
};

static int open_place(void **state)
{
    struct place *place = malloc(sizeof *place);
    strcpy(place->path, "/tmp/roll-XXXXXX");
    assert_non_null(mkdtemp(place->path));
    place->fd = open(place->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    assert_true(place->fd >= 0);
    *state = place;
    return 0;
}

static int close_place(void **state)
{
    struct place *place = *state;
    (void)unlinkat(place->fd, "names-1", 0);
    (void)unlinkat(place->fd, "names-1.new", 0);
    close(place->fd);
    rmdir(place->path);
    free(place);
    return 0;
}

static struct web_roll_file *make(int fd, const char *lines)
{
    struct bytes text = {0};
    struct web_roll_file *file = NULL;
    struct err err = {0};
    const struct web_roll_walked walked = {.root = ROOT, .count = 2, .walked_s = 1234, .took_ms = 5};
    assert_int_equal(bytes_append(&text, lines, strlen(lines), &err), RC_OK);
    assert_int_equal(web_roll_file_make(fd, &walked, &text, &file, &err), RC_OK);
    assert_null(text.data);
    return file;
}

static void test_what_was_written_is_found_by_others(void **state)
{
    const struct place *place = *state;
    OWN(web_roll_file_release) struct web_roll_file *made = make(place->fd, "A/b.tif\nC.tif\n");
    OWN(web_roll_file_release) struct web_roll_file *found = NULL;
    struct err err;
    assert_int_equal(web_roll_file_open(place->fd, ROOT, &found, &err), RC_OK);
    assert_int_equal(found->text.length, 14);
    assert_memory_equal(found->text.line, "A/b.tif\nC.tif\n", 14);
    assert_memory_equal(found->text.folded, "a/b.tif\nc.tif\n", 14);
    assert_int_equal(found->count, 2);
    assert_int_equal(found->walked_s, 1234);
    assert_int_equal(found->inode, made->inode);
    assert_int_equal(web_roll_file_inode(place->fd), made->inode);
}

static void test_another_root_has_none(void **state)
{
    const struct place *place = *state;
    OWN(web_roll_file_release) struct web_roll_file *made = make(place->fd, "A\n");
    struct web_roll_file *found = NULL;
    struct err err;
    assert_int_equal(web_roll_file_open(place->fd, ROOT + 1, &found, &err), RC_NOT_FOUND);
    assert_null(found);
}

static void test_every_damaged_byte_is_noticed(void **state)
{
    const struct place *place = *state;
    OWN(web_roll_file_release) struct web_roll_file *made = make(place->fd, "A/b.tif\n");
    OWN_FD int fd = openat(place->fd, "names-1", O_RDWR | O_CLOEXEC);
    struct stat status;
    struct err err;
    assert_int_equal(fstat(fd, &status), 0);
    for (off_t at = 0; at < status.st_size; at++) {
        struct web_roll_file *found = NULL;
        uint8_t byte, wrong;
        assert_int_equal(pread(fd, &byte, 1, at), 1);
        wrong = byte ^ 0x41;
        assert_int_equal(pwrite(fd, &wrong, 1, at), 1);
        assert_int_equal(web_roll_file_open(place->fd, ROOT, &found, &err), RC_NOT_FOUND);
        assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    }
    for (off_t length = 0; length < status.st_size; length++) {
        struct web_roll_file *found = NULL;
        assert_int_equal(ftruncate(fd, length), 0);
        assert_int_equal(web_roll_file_open(place->fd, ROOT, &found, &err), RC_NOT_FOUND);
    }
}

static void test_without_a_folder_it_lives_in_memory(void **state)
{
    (void)state;
    OWN(web_roll_file_release) struct web_roll_file *made = make(-1, "X.tif\n");
    OWN(web_roll_file_release) struct web_roll_file *empty = make(-1, "");
    assert_memory_equal(made->text.folded, "x.tif\n", 6);
    assert_int_equal(made->inode, 0);
    assert_int_equal(empty->text.length, 0);
    assert_int_equal(web_roll_file_inode(-1), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_what_was_written_is_found_by_others, open_place, close_place),
        cmocka_unit_test_setup_teardown(test_another_root_has_none, open_place, close_place),
        cmocka_unit_test_setup_teardown(test_every_damaged_byte_is_noticed, open_place, close_place),
        cmocka_unit_test(test_without_a_folder_it_lives_in_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
