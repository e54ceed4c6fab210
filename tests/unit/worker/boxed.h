/* For the tests of the box: a folder with a picture and a cache, and a child that enters the box and tries something. */
#ifndef TESTS_UNIT_WORKER_BOXED_H
#define TESTS_UNIT_WORKER_BOXED_H

#include "worker/box.h"

#include "base/own.h"
#include "base/sanitizer.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

#define DONE        0
#define FAILED(why) (errno == (why) ? 1 : 2) /* as it should, or otherwise */
#define NOT_IN_BOX  77

static char home[] = "/tmp/vitrine-box-XXXXXX";
static char images[64], cache[64], outside[64];
static struct settings settings;

/* For the box of a worker that fetches. */
static bool has_network;
static uint16_t allowed_port[4];

static void write_file(const char *path, mode_t mode)
{
    OWN_FD int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, mode);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "x", 1), 1);
}

static int setup(void **state)
{
    (void)state;
    char path[96];
    if (mkdtemp(home) == NULL || settings_init(&settings, NULL) != RC_OK)
        return -1;
    chmod(home, 0755);
    snprintf(images, sizeof images, "%s/images", home);
    snprintf(cache, sizeof cache, "%s/cache", home);
    snprintf(outside, sizeof outside, "%s/outside", home);
    mkdir(images, 0755);
    mkdir(cache, 0777);
    chmod(cache, 0777);
    write_file(outside, 0666);
    snprintf(path, sizeof path, "%s/picture", images);
    write_file(path, 0666);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    char command[96];
    settings_done(&settings);
    snprintf(command, sizeof command, "rm -rf %s", home);
    return system(command) == 0 ? 0 : -1;
}

/* How a child ends that enters the box and then does `deed`, as waitpid() says it. */
static int in_the_box(int (*deed)(int images_fd, int cache_fd))
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct err err;
        const char *note = NULL;
        signal(SIGSYS, SIG_DFL); /* cmocka has handlers of its own */
        signal(SIGABRT, SIG_DFL);
        int images_fd = open(images, O_PATH | O_DIRECTORY | O_CLOEXEC);
        int cache_fd = open(cache, O_PATH | O_DIRECTORY | O_CLOEXEC);
        const struct worker_box_openings openings = {
            .root_fd = {images_fd},
            .root_count = 1,
            .tier_fd = -1,
            .derivatives_fd = -1,
            .cache_fd = cache_fd,
            .network = has_network,
            .port = {allowed_port[0], allowed_port[1], allowed_port[2], allowed_port[3]},
            .port_count = 4};
        if (worker_box_enter(&settings, &openings, &note, &err) != RC_OK) {
            fprintf(stderr, "%s\n", err.message);
            _exit(NOT_IN_BOX);
        }
        _exit(deed(images_fd, cache_fd));
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

#define assert_exits(deed, code)                      \
    do {                                              \
        int status_ = in_the_box(deed);               \
        assert_true(WIFEXITED(status_));              \
        assert_int_equal(WEXITSTATUS(status_), code); \
    } while (0)
#define assert_dies(deed, number)                    \
    do {                                             \
        int status_ = in_the_box(deed);              \
        assert_true(WIFSIGNALED(status_));           \
        assert_int_equal(WTERMSIG(status_), number); \
    } while (0)

#define DEED(name) \
    static int name(int images_fd __attribute__((unused)), int cache_fd __attribute__((unused)))

DEED(start_a_program)
{
    execl("/bin/true", "true", (char *)NULL);
    return 2;
}

#endif
