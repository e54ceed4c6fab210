/* Finding the file that this program was started from. */
#include "master/program.h"

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char self[PATH_MAX];

static int setup(void **state)
{
    (void)state;
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    self[length > 0 ? length : 0] = '\0';
    return length > 0 ? 0 : -1;
}

static void assert_found(const char *name, const char *path)
{
    char *argv[] = {strdup(name), NULL};
    struct master_program program;
    assert_int_equal(master_program_find(argv, &program, NULL), RC_OK);
    assert_string_equal(program.path, path);
    assert_ptr_equal(program.argv, argv);
    master_program_done(&program);
    free(argv[0]);
}

static void test_by_its_path(void **state)
{
    (void)state;
    assert_found(self, self);
    assert_found("/bin/sh", self); /* argv[0] is what the caller likes */
    assert_found("", self);
    assert_found("nowhere/to/be/found", self);
}

static void test_links_stay(void **state)
{
    (void)state;
    char folder[] = "/tmp/vitrine-unit-XXXXXX", link[PATH_MAX], cwd[PATH_MAX];
    assert_non_null(mkdtemp(folder));
    snprintf(link, sizeof link, "%s/link", folder);
    assert_int_equal(symlink(self, link), 0);
    assert_found(link, link);
    assert_non_null(getcwd(cwd, sizeof cwd));
    assert_int_equal(chdir(folder), 0);
    char dotted[PATH_MAX + 8];
    snprintf(dotted, sizeof dotted, "%s/./link", folder);
    assert_found("./link", dotted);

    char *former = strdup(getenv("PATH") != NULL ? getenv("PATH") : "");
    char path[PATH_MAX];
    snprintf(path, sizeof path, "/nowhere:%s:/bin", folder);
    setenv("PATH", path, 1);
    assert_found("link", link);
    setenv("PATH", "/nowhere::/bin", 1); /* empty: the working directory */
    assert_found("link", link);
    setenv("PATH", "/nowhere", 1);
    assert_found("link", self);
    setenv("PATH", former, 1);
    free(former);
    assert_int_equal(chdir(cwd), 0);
    unlink(link);
    rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_by_its_path),
        cmocka_unit_test(test_links_stay),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
