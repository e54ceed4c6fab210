/* The cache directory: made where it is missing, found again, refused where it cannot be. */
#include "cache/directory.h"

#include "base/own.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

static char home[64];

static int make_home(void **state)
{
    (void)state;
    strcpy(home, "/tmp/vitrine-directory-XXXXXX");
    return mkdtemp(home) != NULL ? 0 : -1;
}

static int remove_home(void **state)
{
    (void)state;
    char command[96];
    snprintf(command, sizeof command, "rm -r %s", home);
    return system(command);
}

static void path_below(char path[128], const char *name)
{
    snprintf(path, 128, "%s/%s", home, name);
}

static void test_made_and_found_again(void **state)
{
    (void)state;
    char path[128], file[64], folder[CACHE_DIRECTORY_PATH_BYTES];
    struct err err;
    path_below(path, "cache");
    for (int round = 0; round < 2; round++) {
        OWN(cache_directory_close) struct cache_directory directory = CACHE_DIRECTORY_NONE;
        if (cache_directory_open(path, (uid_t)-1, (gid_t)-1, &directory, &err) != RC_OK)
            fail_msg("%s", err.message);
        cache_directory_path(&directory, CACHE_INDEX, folder);
        snprintf(file, sizeof file, "%s/x", folder);
        OWN_FD int fd = open(file, O_RDWR | (round == 0 ? O_CREAT | O_EXCL : 0), 0600);
        assert_true(fd >= 0);
    }
    path_below(path, "cache/index/x");
    assert_int_equal(access(path, F_OK), 0);
    path_below(path, "cache/derivatives");
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
}

static void test_given_to_its_user(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip();
    char path[128];
    struct err err;
    path_below(path, "cache");
    OWN(cache_directory_close) struct cache_directory directory = CACHE_DIRECTORY_NONE;
    assert_int_equal(cache_directory_open(path, 12345, 12346, &directory, &err), RC_OK);
    path_below(path, "cache/blocks");
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_uid, 12345);
    assert_int_equal(st.st_gid, 12346);
    path_below(path, "cache");
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_uid, geteuid()); /* it may hold other things */
}

static void assert_refused(const char *path, const char *sentence)
{
    struct cache_directory directory = CACHE_DIRECTORY_NONE;
    struct err err;
    assert_int_equal(cache_directory_open(path, (uid_t)-1, (gid_t)-1, &directory, &err), RC_IO);
    assert_non_null(strstr(err.message, sentence));
    assert_int_equal(directory.fd, -1);
    assert_int_equal(directory.folder[CACHE_INDEX], -1);
}

static void test_what_is_no_folder(void **state)
{
    (void)state;
    char path[128], link[128];
    path_below(path, "file");
    OWN_FD int fd = open(path, O_CREAT | O_RDWR, 0600);
    assert_refused(path, "cannot be opened");
    path_below(path, "none/below");
    assert_refused(path, "cannot be made");
    path_below(path, "cache");
    path_below(link, "cache/index");
    assert_int_equal(mkdir(path, 0755), 0);
    assert_int_equal(symlink("/tmp", link), 0);
    assert_refused(path, "index cannot be opened");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_made_and_found_again, make_home, remove_home),
        cmocka_unit_test_setup_teardown(test_given_to_its_user, make_home, remove_home),
        cmocka_unit_test_setup_teardown(test_what_is_no_folder, make_home, remove_home),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
