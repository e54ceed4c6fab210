/* The box of a converter: one file to read, one folder to work in, whoever started it. */
#include "base/own.h"
#include "base/sanitizer.h"
#include "worker/box.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

#define DONE       0
#define REFUSED    1
#define OTHERWISE  2
#define NOT_IN_BOX 77

static char home[] = "/tmp/vitrine-box-XXXXXX";
static char path[5][96];
enum { MASTER, NEIGHBOUR, FOLDER, PYRAMID, TEMPORARY };
static struct settings settings;
static const char *note;

static int setup(void **state)
{
    static const char *const name[] = {"master.tif", "neighbour.tif", "out", "out/pyramid.tif",
                                       "out/.ingest-1"};
    (void)state;
    if (mkdtemp(home) == NULL || settings_init(&settings, NULL) != RC_OK)
        return -1;
    for (size_t i = 0; i < sizeof path / sizeof path[0]; i++)
        snprintf(path[i], sizeof path[i], "%s/%s", home, name[i]);
    for (size_t i = MASTER; i <= NEIGHBOUR; i++) {
        OWN_FD int fd = open(path[i], O_WRONLY | O_CREAT, 0600);
        if (fd < 0 || write(fd, "II*", 4) != 4)
            return -1;
    }
    return mkdir(path[FOLDER], 0700);
}

static int teardown(void **state)
{
    (void)state;
    char command[96];
    settings_done(&settings);
    snprintf(command, sizeof command, "rm -rf %s", home);
    return system(command) == 0 ? 0 : -1;
}

static int in_the_box(int (*deed)(void))
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct err err;
        signal(SIGSYS, SIG_DFL); /* cmocka has handlers of its own */
        int source = open(path[MASTER], O_PATH), folder = open(path[FOLDER], O_PATH | O_DIRECTORY);
        if (worker_box_enter_converter(&settings, source, folder, &note, &err) != RC_OK)
            _exit(NOT_IN_BOX);
        close(source);
        close(folder);
        _exit(note != NULL ? NOT_IN_BOX : deed());
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

#define assert_exits(deed, code)                      \
    do {                                              \
        int status_ = in_the_box(deed);               \
        assert_true(WIFEXITED(status_));              \
        if (WEXITSTATUS(status_) == NOT_IN_BOX)       \
            skip(); /* a kernel without Landlock */   \
        assert_int_equal(WEXITSTATUS(status_), code); \
    } while (0)

static int tell(int result)
{
    return result >= 0 ? DONE : errno == EACCES || errno == EPERM ? REFUSED : OTHERWISE;
}

static int read_master(void)
{
    return tell(open(path[MASTER], O_RDONLY));
}

static int write_master(void)
{
    return tell(open(path[MASTER], O_WRONLY));
}

static int remove_master(void)
{
    return tell(unlink(path[MASTER]));
}

static int read_neighbour(void)
{
    return tell(open(path[NEIGHBOUR], O_RDONLY));
}

static int read_passwords(void)
{
    return tell(open("/etc/passwd", O_RDONLY));
}

static int list_masters(void)
{
    return tell(open(home, O_RDONLY | O_DIRECTORY));
}

static int write_pyramid(void)
{
    int fd = open(path[TEMPORARY], O_RDWR | O_CREAT, 0600);
    if (fd < 0 || write(fd, "II*", 4) != 4 || ftruncate(fd, 2) < 0)
        return OTHERWISE;
    return rename(path[TEMPORARY], path[PYRAMID]) == 0 && unlink(path[PYRAMID]) == 0 ? DONE : OTHERWISE;
}

static int give_away(void)
{
    return tell(chown(path[FOLDER], 1, 1));
}

static int reach_the_network(void)
{
    return socket(AF_INET, SOCK_STREAM, 0) < 0 ? OTHERWISE : DONE;
}

static void test_it_can_work(void **state)
{
    (void)state;
    if (BASE_UNDER_SANITIZER)
        skip();
    assert_exits(read_master, DONE);
    assert_exits(write_pyramid, DONE);
}

static void test_it_can_do_nothing_else(void **state)
{
    (void)state;
    if (BASE_UNDER_SANITIZER)
        skip();
    assert_exits(write_master, REFUSED);
    assert_exits(remove_master, REFUSED);
    assert_exits(read_neighbour, REFUSED);
    assert_exits(read_passwords, REFUSED);
    assert_exits(list_masters, REFUSED);
    assert_exits(give_away, REFUSED);
    int status = in_the_box(reach_the_network);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
}

static void test_without_a_sandbox_it_is_as_anybody(void **state)
{
    (void)state;
    if (BASE_UNDER_SANITIZER)
        skip();
    settings.sandbox = false;
    assert_exits(read_neighbour, DONE);
    settings.sandbox = true;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_it_can_work),
                                       cmocka_unit_test(test_it_can_do_nothing_else),
                                       cmocka_unit_test(test_without_a_sandbox_it_is_as_anybody)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
