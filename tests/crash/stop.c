/* Preloaded into a server under test: a thread of a worker that comes to a named point stands still there, for
 * the test to kill its process at exactly that instant. stops.py maps the same file and says which point. Only TCP
 * sockets count: neither the master nor the channel between it and its workers touches them by these calls. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <jpeglib.h>

enum point { NONE, ADOPTED, RECEIVE, RECEIVED, DECODE, SEND, SENT, SHUTDOWN, SHUT, RENAME, STRIPE, INDEX_GET, INDEX_PUT, INDEX_SYNC };

static struct control {
    _Atomic uint32_t point; /* where to stand still, once */
    _Atomic uint32_t nth;   /* at its n-th time */
    _Atomic uint32_t pid;   /* who stands still */
    uint32_t unused;
    _Atomic uint64_t bytes; /* SENT: as soon as so many bytes were handed to the kernel, neither more nor less */
    _Atomic uint64_t sent;  /* so many have been, by all workers */
} *control;

__attribute__((constructor)) static void open_control(void)
{
    const char *path = getenv("VITRINE_STOP");
    int fd = path != NULL ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    control = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
}

static void come_to(enum point point)
{
    if (control == NULL || control->point != point || atomic_fetch_sub(&control->nth, 1) != 1)
        return;
    control->point = NONE;
    control->pid = (uint32_t)getpid();
    for (;;)
        pause();
}

static int is_tcp(int fd)
{
    int domain = 0;
    socklen_t length = sizeof domain;
    return control != NULL && getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &length) == 0 &&
           (domain == AF_INET || domain == AF_INET6);
}

#define REAL(name) ((__typeof__(&name))real(#name))

static void *real(const char *name)
{
    return dlsym(RTLD_NEXT, name);
}

/* How many of `length` bytes may go before the point is reached. */
static size_t allowed(size_t length, int counts)
{
    uint64_t left = control->bytes - control->sent;
    return counts && left < length ? (size_t)left : length;
}

/* `counts` is from before the call: the client may have read what was sent, and armed the next point, meanwhile. */
static void count_sent(ssize_t count, int counts)
{
    if (counts && count > 0)
        control->sent += (uint64_t)count;
    if (counts && control->sent == control->bytes)
        come_to(SENT);
}

ssize_t recvmsg(int fd, struct msghdr *message, int flags)
{
    ssize_t count = REAL(recvmsg)(fd, message, flags);
    if (count > 0 && CMSG_FIRSTHDR(message) != NULL)
        come_to(ADOPTED);
    return count;
}

ssize_t recvfrom(int fd, void *buffer, size_t length, int flags, struct sockaddr *from, socklen_t *from_length)
{
    int is_client = is_tcp(fd);
    if (is_client)
        come_to(RECEIVE);
    ssize_t count = REAL(recvfrom)(fd, buffer, length, flags, from, from_length);
    if (is_client && count > 0)
        come_to(RECEIVED);
    return count;
}

ssize_t sendto(int fd, const void *data, size_t length, int flags, const struct sockaddr *to, socklen_t to_length)
{
    if (!is_tcp(fd))
        return REAL(sendto)(fd, data, length, flags, to, to_length);
    come_to(SEND);
    int counts = control->point == SENT;
    ssize_t count = REAL(sendto)(fd, data, allowed(length, counts), flags, to, to_length);
    count_sent(count, counts);
    return count;
}

static long send_parts(int fd, const struct msghdr *message, int flags)
{
    struct iovec part[64];
    struct msghdr cut = *message;
    size_t whole = 0;
    for (size_t i = 0; i < message->msg_iovlen; i++)
        whole += message->msg_iov[i].iov_len;
    int counts = control->point == SENT;
    size_t left = allowed(whole, counts);
    cut.msg_iov = part;
    cut.msg_iovlen = 0;
    for (size_t i = 0; i < message->msg_iovlen && i < 64 && left > 0; i++) {
        part[i] = message->msg_iov[i];
        if (part[i].iov_len > left)
            part[i].iov_len = left;
        left -= part[i].iov_len;
        cut.msg_iovlen++;
    }
    come_to(SEND);
    long count = REAL(syscall)(SYS_sendmsg, fd, &cut, flags);
    count_sent(count, counts);
    return count;
}

static long send_file(int fd, int from, void *offset, size_t length)
{
    come_to(SEND);
    int counts = control->point == SENT;
    long count = REAL(syscall)(SYS_sendfile, fd, from, offset, allowed(length, counts));
    count_sent(count, counts);
    return count;
}

long syscall(long number, ...)
{
    va_list list;
    long a[6];
    va_start(list, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(list, long);
    va_end(list);
    if (number == SYS_sendmsg && is_tcp((int)a[0]))
        return send_parts((int)a[0], (const struct msghdr *)a[1], (int)a[2]);
    if (number == SYS_sendfile && is_tcp((int)a[0]))
        return send_file((int)a[0], (int)a[1], (void *)a[2], (size_t)a[3]);
    return REAL(syscall)(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

int shutdown(int fd, int how)
{
    int is_client = is_tcp(fd);
    if (is_client)
        come_to(SHUTDOWN);
    int status = REAL(shutdown)(fd, how);
    if (is_client)
        come_to(SHUT);
    return status;
}

boolean jpeg_start_decompress(j_decompress_ptr decoder)
{
    come_to(DECODE);
    return REAL(jpeg_start_decompress)(decoder);
}

int renameat(int from, const char *old, int to, const char *new)
{
    come_to(RENAME);
    return REAL(renameat)(from, old, to, new);
}

#define ROBUST 16 /* in the kind of a mutex, by glibc */

int pthread_mutex_trylock(pthread_mutex_t *mutex)
{
    int failed = REAL(pthread_mutex_trylock)(mutex);
    if (failed == 0 && (mutex->__data.__kind & ROBUST) != 0)
        come_to(STRIPE);
    return failed;
}

/* ---- the pyramid index: inside a reader's transaction; inside a writer's; in its commit, before the page that counts ---- */

int mdb_get(void *txn, unsigned table, void *key, void *value)
{
    int status = REAL(mdb_get)(txn, table, key, value);
    come_to(INDEX_GET);
    return status;
}

int mdb_put(void *txn, unsigned table, void *key, void *value, unsigned flags)
{
    int status = REAL(mdb_put)(txn, table, key, value, flags);
    come_to(INDEX_PUT);
    return status;
}

int fdatasync(int fd)
{
    int status = REAL(fdatasync)(fd);
    come_to(INDEX_SYNC);
    return status;
}
