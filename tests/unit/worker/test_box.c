/* The box: a child process enters it and tries what a worker may and may not. */
#include "tests/unit/worker/boxed.h"

#include <netinet/in.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>

static bool lacks_landlock;

/* ---- what it needs ---- */

DEED(read_a_picture)
{
    char byte;
    int fd = openat(images_fd, "picture", O_RDONLY | O_CLOEXEC);
    return fd >= 0 && pread(fd, &byte, 1, 0) == 1 ? DONE : 2;
}

DEED(write_to_the_cache)
{
    int fd = openat(cache_fd, "new", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, "abc", 3) != 3 || ftruncate(fd, 1) < 0 || fsync(fd) < 0)
        return 2;
    return renameat(cache_fd, "new", cache_fd, "old") == 0 && unlinkat(cache_fd, "old", 0) == 0 ? DONE : 3;
}

static void *thread_main(void *argument)
{
    return argument;
}

DEED(make_a_thread)
{
    pthread_t thread;
    void *result = NULL;
    if (pthread_create(&thread, NULL, thread_main, home) != 0 || pthread_join(thread, &result) != 0)
        return 2;
    return result == home ? DONE : 3;
}

DEED(take_memory)
{
    char *memory = malloc((size_t)100 << 20);
    if (memory == NULL)
        return 2;
    memset(memory, 1, (size_t)100 << 20);
    free(memory);
    return DONE;
}

DEED(give_up)
{
    abort();
}

static void test_it_can_work(void **state)
{
    (void)state;
    if (BASE_UNDER_SANITIZER)
        skip();
    assert_exits(read_a_picture, DONE);
    assert_exits(write_to_the_cache, DONE);
    assert_exits(make_a_thread, DONE);
    assert_exits(take_memory, DONE);
    assert_dies(give_up, SIGABRT);
}

/* ---- files ---- */

DEED(read_shadow)
{
    return open("/etc/shadow", O_RDONLY | O_CLOEXEC) < 0 ? FAILED(EACCES) : DONE;
}

DEED(read_passwd)
{
    return open("/etc/passwd", O_RDONLY | O_CLOEXEC) < 0 ? FAILED(EACCES) : DONE;
}

DEED(write_outside)
{
    return open(outside, O_WRONLY | O_CLOEXEC) < 0 ? FAILED(EACCES) : DONE;
}

DEED(write_a_picture)
{
    return openat(images_fd, "picture", O_WRONLY | O_CLOEXEC) < 0 ? FAILED(EACCES) : DONE;
}

DEED(leave_by_dots)
{
    return openat(images_fd, "../outside", O_RDONLY | O_CLOEXEC) < 0 ? FAILED(EACCES) : DONE;
}

static void test_it_sees_only_its_files(void **state)
{
    (void)state;
    if (BASE_UNDER_SANITIZER)
        skip();
    assert_exits(read_shadow, 1);
    if (lacks_landlock) {
        print_message("the kernel has no Landlock: other readable files are not tried\n");
        skip();
    }
    assert_exits(read_passwd, 1);
    assert_exits(write_outside, 1);
    assert_exits(write_a_picture, 1);
    assert_exits(leave_by_dots, 1);
}

/* ---- ways out ---- */

DEED(make_a_process)
{
    return fork() < 0 ? 2 : 3;
}

DEED(make_a_socket)
{
    return socket(AF_INET, SOCK_STREAM, 0) < 0 ? 2 : 3;
}

DEED(make_a_unix_socket)
{
    return socket(AF_UNIX, SOCK_STREAM, 0) < 0 ? 2 : 3;
}

DEED(connect_with_what_it_has)
{
    struct sockaddr address = {.sa_family = AF_UNSPEC};
    return connect(0, &address, sizeof address) < 0 ? 2 : 3;
}

DEED(trace_its_parent)
{
    return ptrace(PTRACE_ATTACH, getppid(), NULL, NULL) < 0 ? 2 : 3;
}

DEED(kill_its_parent)
{
    return kill(getppid(), 0) < 0 ? 2 : 3;
}

DEED(become_root)
{
    return setuid(0) < 0 ? 2 : 3;
}

static void test_the_first_step_out_is_its_last(void **state)
{
    (void)state;
    if (BASE_UNDER_SANITIZER)
        skip();
    assert_dies(start_a_program, SIGSYS);
    assert_dies(make_a_process, SIGSYS);
    assert_dies(make_a_socket, SIGSYS);
    assert_dies(make_a_unix_socket, SIGSYS);
    assert_dies(connect_with_what_it_has, SIGSYS);
    assert_dies(trace_its_parent, SIGSYS);
    assert_dies(kill_its_parent, SIGSYS);
    assert_dies(become_root, SIGSYS);
}

DEED(make_code)
{
    void *page = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return page == MAP_FAILED ? FAILED(EPERM) : DONE;
}

DEED(make_memory_code)
{
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return mprotect(page, 4096, PROT_READ | PROT_EXEC) < 0 ? FAILED(EPERM) : DONE;
}

DEED(connect_by_sending)
{
    struct sockaddr address = {.sa_family = AF_INET};
    return sendto(0, "", 0, 0x20000000 /* MSG_FASTOPEN */, &address, sizeof address) < 0 ? FAILED(EPERM)
                                                                                         : DONE;
}

DEED(raise_a_limit)
{
    const struct rlimit limit = {0, 0};
    return setrlimit(RLIMIT_NOFILE, &limit) < 0 ? FAILED(EPERM) : DONE;
}

DEED(handle_a_signal)
{
    return signal(SIGSYS, SIG_IGN) == SIG_ERR ? FAILED(EPERM) : DONE;
}

static void test_what_else_is_not_on_the_list_fails(void **state)
{
    (void)state;
    if (BASE_UNDER_SANITIZER)
        skip();
    assert_exits(make_code, 1);
    assert_exits(make_memory_code, 1);
    assert_exits(connect_by_sending, 1);
    assert_exits(raise_a_limit, 1);
    assert_exits(handle_a_signal, 1);
}

/* ---- the network, where sources are far away ---- */

static int listener[2]; /* it may reach the first */
static uint16_t other_port;

static int connect_to(uint16_t port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    OWN_FD int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return 3;
    return connect(fd, (struct sockaddr *)&address, sizeof address) < 0 ? FAILED(EACCES) : DONE;
}

DEED(connect_to_the_origin)
{
    return connect_to(allowed_port[0]);
}

DEED(connect_elsewhere)
{
    return connect_to(other_port);
}

DEED(serve_others)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    return bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, 1) < 0 ? 1 : DONE;
}

static uint16_t listen_somewhere(int *ret_fd)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    *ret_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(*ret_fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(*ret_fd, 8), 0);
    assert_int_equal(getsockname(*ret_fd, (struct sockaddr *)&address, &length), 0);
    return ntohs(address.sin_port);
}

static void test_it_connects_only_where_it_is_told(void **state)
{
    (void)state;
    if (BASE_UNDER_SANITIZER)
        skip();
    allowed_port[0] = listen_somewhere(&listener[0]);
    other_port = listen_somewhere(&listener[1]);
    assert_dies(connect_to_the_origin, SIGSYS);
    has_network = true;
    assert_exits(connect_to_the_origin, DONE);
    if (syscall(SYS_landlock_create_ruleset, NULL, 0, 1) >= 4) {
        assert_exits(connect_elsewhere, 1);
    } else {
        print_message("the kernel's Landlock knows no ports: others are not tried\n");
    }
    int status = in_the_box(serve_others);
    assert_true(WIFSIGNALED(status) ? WTERMSIG(status) == SIGSYS : WEXITSTATUS(status) == 1);
    assert_dies(start_a_program, SIGSYS);
    assert_exits(read_shadow, 1);
    assert_exits(write_outside, lacks_landlock ? DONE : 1);
    has_network = false;
    close(listener[0]);
    close(listener[1]);
}

/* What the kernel lacks is said, and is what the tests after this one leave out. */
static void test_what_the_kernel_lacks_is_said(void **state)
{
    (void)state;
    pid_t child = fork();
    if (child == 0) {
        struct err err;
        const char *note = NULL;
        const struct worker_box_openings openings = {.root_fd = {open(images, O_PATH | O_DIRECTORY)},
                                                     .root_count = 1,
                                                     .tier_fd = -1,
                                                     .cache_fd = -1,
                                                     .derivatives_fd = -1};
        enum rc rc = worker_box_enter(&settings, &openings, &note, &err);
        _exit(rc != RC_OK ? NOT_IN_BOX : note != NULL);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) != NOT_IN_BOX);
    lacks_landlock = WEXITSTATUS(status) == 1;
    if (!BASE_UNDER_SANITIZER)
        assert_int_equal(lacks_landlock, syscall(SYS_landlock_create_ruleset, NULL, 0, 1) < 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_the_kernel_lacks_is_said),
        cmocka_unit_test(test_it_can_work),
        cmocka_unit_test(test_it_sees_only_its_files),
        cmocka_unit_test(test_the_first_step_out_is_its_last),
        cmocka_unit_test(test_what_else_is_not_on_the_list_fails),
        cmocka_unit_test(test_it_connects_only_where_it_is_told),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
