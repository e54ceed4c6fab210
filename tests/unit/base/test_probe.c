/* What a look at folders says of those that answer; tests/storage/test_nfs.py has those that do not. */
#include "base/probe.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cmocka.h>

#define PATIENCE_MS 60000

static int open_files(void)
{
    int count = 0;
    DIR *folder = opendir("/proc/self/fd");
    assert_non_null(folder);
    while (readdir(folder) != NULL)
        count++;
    closedir(folder);
    return count;
}

static void test_each_is_told_by_itself(void **state)
{
    char home[] = "/tmp/vitrine-probe-XXXXXX", folder[64], file[64], missing[64];
    struct statfs system;
    struct stat there, opened;
    (void)state;
    assert_non_null(mkdtemp(home));
    snprintf(folder, sizeof folder, "%s/folder", home);
    snprintf(file, sizeof file, "%s/file", home);
    snprintf(missing, sizeof missing, "%s/missing", home);
    assert_int_equal(mkdir(folder, 0755), 0);
    assert_int_equal(close(open(file, O_CREAT | O_WRONLY | O_CLOEXEC, 0644)), 0);
    int before = open_files();
    struct probe probe[] = {{.folder_fd = AT_FDCWD, .path = missing},
                            {.folder_fd = AT_FDCWD, .path = folder},
                            {.folder_fd = AT_FDCWD, .path = NULL},
                            {.folder_fd = AT_FDCWD, .path = file}};
    probe_folders(probe, 4, PATIENCE_MS);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(probe[i].answer_fd, -1);
    assert_int_equal(probe[0].os_errno, ENOENT);
    assert_int_equal(probe[0].fd, -1);
    assert_int_equal(probe[1].os_errno, 0);
    assert_int_equal(statfs(folder, &system), 0);
    assert_int_equal(probe[1].system_type, system.f_type);
    assert_int_equal(stat(folder, &there), 0);
    assert_int_equal(fstat(probe[1].fd, &opened), 0);
    assert_int_equal(opened.st_ino, there.st_ino);
    assert_int_equal(fcntl(probe[1].fd, F_GETFL) & O_PATH, O_PATH);
    assert_int_equal(fcntl(probe[1].fd, F_GETFD), FD_CLOEXEC);
    assert_int_equal(probe[2].os_errno, 0);
    assert_int_equal(probe[2].fd, -1);
    assert_int_equal(probe[3].os_errno, ENOTDIR);
    assert_int_equal(open_files(), before + 1);
    probe_done(probe, 4);
    assert_int_equal(open_files(), before);
    assert_int_equal(unlink(file), 0);
    assert_int_equal(rmdir(folder), 0);
    assert_int_equal(rmdir(home), 0);
}

/* By its descriptor, as the user that this process has become: it may go there and may not read. */
static void test_one_that_may_not_be_read(void **state)
{
    char home[] = "/tmp/vitrine-probe-XXXXXX";
    (void)state;
    assert_non_null(mkdtemp(home));
    assert_int_equal(chmod(home, geteuid() == 0 ? 0711 : 0311), 0);
    int fd = open(home, O_PATH | O_DIRECTORY | O_CLOEXEC);
    struct probe probe = {.folder_fd = fd, .path = "."};
    if (geteuid() == 0)
        assert_int_equal(seteuid(65534), 0);
    probe_folders(&probe, 1, PATIENCE_MS);
    if (getuid() == 0)
        assert_int_equal(seteuid(0), 0);
    assert_int_equal(probe.answer_fd, -1);
    assert_int_equal(probe.os_errno, EACCES);
    assert_true(probe.fd >= 0);
    probe_done(&probe, 1);
    close(fd);
    assert_int_equal(rmdir(home), 0);
}

static void test_which_file_systems_may_hang(void **state)
{
    (void)state;
    assert_true(probe_may_hang(0x6969));     /* NFS */
    assert_true(probe_may_hang(0x65735546)); /* FUSE */
    assert_false(probe_may_hang(0xef53));    /* ext4 */
    assert_false(probe_may_hang(0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_is_told_by_itself),
        cmocka_unit_test(test_one_that_may_not_be_read),
        cmocka_unit_test(test_which_file_systems_may_hang),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
