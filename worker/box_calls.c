#include "worker/box_calls.h"

#include "base/own.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>

#ifndef MSG_FASTOPEN
#define MSG_FASTOPEN 0x20000000
#endif

/* clang-format off */

/* What all of the program's tests need (by strace -f), and what the same libraries use where threads meet,
 * memory is short or the cache directory is written. */
static const int allowed[] = {
    /* memory */
    SCMP_SYS(brk), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise), SCMP_SYS(msync), SCMP_SYS(sysinfo),
    /* threads and time */
    SCMP_SYS(futex), SCMP_SYS(set_robust_list), SCMP_SYS(rseq), SCMP_SYS(gettid), SCMP_SYS(getpid),
    SCMP_SYS(getppid), SCMP_SYS(sched_yield), SCMP_SYS(sched_getaffinity), SCMP_SYS(membarrier),
    SCMP_SYS(exit), SCMP_SYS(exit_group), SCMP_SYS(restart_syscall), SCMP_SYS(nanosleep),
    SCMP_SYS(clock_nanosleep), SCMP_SYS(clock_gettime), SCMP_SYS(clock_getres), SCMP_SYS(gettimeofday),
    SCMP_SYS(time), SCMP_SYS(getrusage), SCMP_SYS(getcpu), SCMP_SYS(getrandom), SCMP_SYS(getuid),
    SCMP_SYS(geteuid), SCMP_SYS(getgid), SCMP_SYS(getegid),
    /* signals: returning from a handler and waiting, not installing one */
    SCMP_SYS(rt_sigreturn), SCMP_SYS(rt_sigprocmask), SCMP_SYS(sigaltstack),
    /* connections that were handed in, and the channel */
    SCMP_SYS(recvfrom), SCMP_SYS(recvmsg), SCMP_SYS(shutdown), SCMP_SYS(getsockopt), SCMP_SYS(setsockopt),
    SCMP_SYS(getsockname), SCMP_SYS(getpeername), SCMP_SYS(sendfile), SCMP_SYS(epoll_create1),
    SCMP_SYS(epoll_ctl), SCMP_SYS(epoll_wait), SCMP_SYS(epoll_pwait), SCMP_SYS(poll), SCMP_SYS(ppoll),
    SCMP_SYS(eventfd2), SCMP_SYS(pipe2),
    /* files; Landlock says which */
    SCMP_SYS(openat), SCMP_SYS(openat2), SCMP_SYS(close), SCMP_SYS(read), SCMP_SYS(readv), SCMP_SYS(pread64),
    SCMP_SYS(preadv), SCMP_SYS(preadv2), SCMP_SYS(lseek), SCMP_SYS(dup3), SCMP_SYS(fstat), SCMP_SYS(newfstatat),
    SCMP_SYS(statx), SCMP_SYS(fadvise64), SCMP_SYS(getdents64), SCMP_SYS(faccessat), SCMP_SYS(faccessat2),
    SCMP_SYS(readlinkat),
    /* written: the log, the event thread's wake-up, the cache */
    SCMP_SYS(write), SCMP_SYS(writev), SCMP_SYS(pwrite64), SCMP_SYS(pwritev), SCMP_SYS(pwritev2),
    SCMP_SYS(ftruncate), SCMP_SYS(fallocate), SCMP_SYS(fsync), SCMP_SYS(fdatasync), SCMP_SYS(sync_file_range),
    SCMP_SYS(mkdirat), SCMP_SYS(unlink), SCMP_SYS(unlinkat), SCMP_SYS(rename), SCMP_SYS(renameat),
    SCMP_SYS(renameat2), SCMP_SYS(linkat),
    SCMP_SYS(utimensat), SCMP_SYS(flock), SCMP_SYS(copy_file_range),
};

/* The first steps out of the box. */
static const int trapped[] = {
    SCMP_SYS(execve), SCMP_SYS(execveat), SCMP_SYS(fork), SCMP_SYS(vfork), SCMP_SYS(listen), SCMP_SYS(accept),
    SCMP_SYS(accept4), SCMP_SYS(ptrace), SCMP_SYS(process_vm_readv), SCMP_SYS(process_vm_writev),
    SCMP_SYS(pidfd_getfd), SCMP_SYS(kill), SCMP_SYS(tkill), SCMP_SYS(setuid), SCMP_SYS(setgid),
    SCMP_SYS(setresuid), SCMP_SYS(setresgid), SCMP_SYS(setns), SCMP_SYS(unshare), SCMP_SYS(chroot),
    SCMP_SYS(pivot_root), SCMP_SYS(mount), SCMP_SYS(umount2), SCMP_SYS(bpf), SCMP_SYS(perf_event_open),
    SCMP_SYS(userfaultfd), SCMP_SYS(io_uring_setup), SCMP_SYS(keyctl), SCMP_SYS(add_key),
    SCMP_SYS(request_key), SCMP_SYS(open_by_handle_at), SCMP_SYS(init_module), SCMP_SYS(finit_module),
    SCMP_SYS(kexec_load), SCMP_SYS(personality),
};

/* The same for a worker that has no origin elsewhere. */
static const int network_calls[] = {SCMP_SYS(socket), SCMP_SYS(socketpair), SCMP_SYS(connect), SCMP_SYS(bind)};

/* clang-format on */

static void release(scmp_filter_ctx *filter)
{
    seccomp_release(*filter);
}

/* Of the call's argument only the lower half counts: the kernel looks at no more. */
static int allow_value(scmp_filter_ctx filter, int call, unsigned argument, uint32_t value)
{
    return seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 1,
                            SCMP_CMP(argument, SCMP_CMP_MASKED_EQ, UINT32_MAX, value));
}

static int allow_without(scmp_filter_ctx filter, int call, unsigned argument, uint64_t bits)
{
    return seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 1, SCMP_CMP(argument, SCMP_CMP_MASKED_EQ, bits, 0));
}

/* Calls that do more than is wanted, but for certain arguments. */
static int add_limited(scmp_filter_ctx filter)
{
    static const uint32_t ioctls[] = {FIONREAD, SIOCOUTQ, FIONBIO};
    static const uint32_t fcntls[] = {F_GETFD, F_SETFD,  F_GETFL,     F_SETFL,     F_DUPFD_CLOEXEC, F_GETLK,
                                      F_SETLK, F_SETLKW, F_OFD_GETLK, F_OFD_SETLK, F_OFD_SETLKW};
    int failed = 0;
    for (size_t i = 0; i < sizeof ioctls / sizeof ioctls[0]; i++)
        failed |= allow_value(filter, SCMP_SYS(ioctl), 1, ioctls[i]);
    for (size_t i = 0; i < sizeof fcntls / sizeof fcntls[0]; i++)
        failed |= allow_value(filter, SCMP_SYS(fcntl), 1, fcntls[i]);
    failed |= allow_value(filter, SCMP_SYS(prctl), 0, PR_SET_NAME);
    /* The calling thread's own priority: lower, since nothing here may raise it. Seen is the main thread's, too. */
    failed |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(getpriority), 1,
                               SCMP_A0(SCMP_CMP_EQ, PRIO_PROCESS, 0));
    failed |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(sched_setattr), 1,
                               SCMP_A0(SCMP_CMP_EQ, 0, 0));
    /* No memory that holds new code. */
    failed |= allow_without(filter, SCMP_SYS(mmap), 2, PROT_EXEC);
    failed |= allow_without(filter, SCMP_SYS(mprotect), 2, PROT_EXEC);
    /* A socket that has lost its connection would connect anew with this. */
    failed |= allow_without(filter, SCMP_SYS(sendto), 3, MSG_FASTOPEN);
    failed |= allow_without(filter, SCMP_SYS(sendmsg), 2, MSG_FASTOPEN);
    /* Limits are read, and only our own; raise() and abort() work. */
    failed |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), 2, SCMP_A0(SCMP_CMP_EQ, 0, 0),
                               SCMP_A2(SCMP_CMP_EQ, 0, 0));
    failed |= allow_value(filter, SCMP_SYS(tgkill), 0, (uint32_t)getpid());
    /* Threads, no processes. What clone3() is to do stands where a filter cannot look: libc then takes
     * clone(). */
    failed |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
                               SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD));
    failed |= seccomp_rule_add(filter, SCMP_ACT_TRAP, SCMP_SYS(clone), 1,
                               SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, 0));
    failed |= seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
    return failed;
}

/* TCP and UDP over IP; netlink and a pair of local sockets for resolving names. Ports are Landlock's to limit. */
static int add_network(scmp_filter_ctx filter)
{
    static const uint32_t domains[] = {AF_INET, AF_INET6, AF_NETLINK};
    int failed = 0;
    for (size_t i = 0; i < sizeof domains / sizeof domains[0]; i++)
        failed |= allow_value(filter, SCMP_SYS(socket), 0, domains[i]);
    failed |= allow_value(filter, SCMP_SYS(socketpair), 0, AF_UNIX);
    failed |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(connect), 0);
    failed |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(bind), 0);
    failed |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(sendmmsg), 0);
    failed |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(uname), 0);
    return failed;
}

/* Calls that this architecture lacks are nobody's loss. */
static int add_all(scmp_filter_ctx filter, uint32_t action, const int *call, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int failed = seccomp_rule_add(filter, action, call[i], 0);
        if (failed != 0 && call[i] >= 0)
            return failed;
    }
    return 0;
}

enum rc worker_box_calls_limit(bool network, struct err *err)
{
    OWN(release) scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    if (filter == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for the list of system calls");
    int failed = add_all(filter, SCMP_ACT_ALLOW, allowed, sizeof allowed / sizeof allowed[0]);
    if (failed == 0)
        failed = add_all(filter, SCMP_ACT_TRAP, trapped, sizeof trapped / sizeof trapped[0]);
    if (failed == 0)
        failed = network ? add_network(filter)
                         : add_all(filter, SCMP_ACT_TRAP, network_calls,
                                   sizeof network_calls / sizeof network_calls[0]);
    if (failed == 0)
        failed = add_limited(filter);
    if (failed == 0)
        failed = seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    if (failed == 0)
        failed = seccomp_load(filter);
    if (failed != 0)
        return err_set_errno(
            err, RC_UNSUPPORTED, -failed,
            "this system does not limit a worker's system calls (sandbox = false goes without)");
    return RC_OK;
}
