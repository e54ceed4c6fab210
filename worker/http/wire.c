#include "worker/http/wire.h"

#include <errno.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <linux/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* Which descriptors carry a wire. Grown never: as long as the process may have descriptors. An entry is
 * written before libmicrohttpd hears of the descriptor and cleared before it closes it. */
static _Atomic(struct http_wire *) *wire_of;
static size_t wire_of_length;
static atomic_bool retiring;

/* libc does not define what it calls: declared by its headers, defined here, used by libmicrohttpd. */

static struct http_wire *find_wire(int fd)
{
    return fd >= 0 && (size_t)fd < wire_of_length ? atomic_load_explicit(&wire_of[fd], memory_order_acquire)
                                                  : NULL;
}

/* ---- where the streams stand, by the kernel ---- */

/* tcpi_state once the client has ended its stream. <netinet/tcp.h> names them, but its struct tcp_info is too
 * short and clashes with that of <linux/tcp.h>. */
enum { STATE_TIME_WAIT = 6, STATE_CLOSE_WAIT = 8, STATE_LAST_ACK = 9, STATE_CLOSING = 11 };

/* Acknowledged bytes leave the queue one moment before or after they are counted, so both are read until they
 * hold still. */
static enum rc measure(int fd, uint64_t *ret_taken, uint64_t *ret_sent, struct err *err)
{
    struct tcp_info before = {0}, after = {0};
    int queued = 0, unread = 0;
    do {
        socklen_t length = sizeof before;
        if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &before, &length) < 0 || ioctl(fd, SIOCOUTQ, &queued) < 0 ||
            ioctl(fd, SIOCINQ, &unread) < 0)
            return err_set_errno(err, RC_IO, errno, "the kernel does not tell where the connection stands");
        length = sizeof after;
        if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &after, &length) < 0)
            return err_set_errno(err, RC_IO, errno, "the kernel does not tell where the connection stands");
    } while (before.tcpi_bytes_acked != after.tcpi_bytes_acked ||
             before.tcpi_bytes_received != after.tcpi_bytes_received);
    /* The kernel counts the end of the client's stream as one byte more. */
    bool ended = after.tcpi_state == STATE_CLOSE_WAIT || after.tcpi_state == STATE_LAST_ACK ||
                 after.tcpi_state == STATE_CLOSING || after.tcpi_state == STATE_TIME_WAIT;
    *ret_taken = (uint64_t)after.tcpi_bytes_received - (unsigned)unread - ended;
    *ret_sent = (uint64_t)after.tcpi_bytes_acked + (unsigned)queued;
    return RC_OK;
}

/* ---- opening and closing ---- */

static enum rc make_table(struct err *err)
{
    struct rlimit limit;
    if (wire_of != NULL)
        return RC_OK;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return err_set_errno(err, RC_IO, errno, "the limit of descriptors is unknown");
    size_t length = limit.rlim_cur < (1u << 20) ? (size_t)limit.rlim_cur : 1u << 20;
    wire_of = calloc(length, sizeof *wire_of);
    if (wire_of == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for %zu descriptors", length);
    wire_of_length = length;
    return RC_OK;
}

static enum rc take_over(struct http_wire *wire, int fd, struct err *err)
{
    uint64_t taken = 0, sent = 0;
    enum rc rc = measure(fd, &taken, &sent, err);
    if (rc != RC_OK)
        return rc;
    const struct shm_journal_mark *mark = shm_journal_mark(wire->slot);
    if (!shm_journal_request(wire->slot, taken, &wire->replay, &wire->replay_bytes))
        return err_set(err, RC_CORRUPT, "its request was too long to be kept");
    if (sent < mark->answer_start || (sent > mark->answer_start && wire->replay_bytes == 0))
        return err_set(err, RC_CORRUPT, "%llu bytes were sent where the journal knows of %llu",
                       (unsigned long long)sent, (unsigned long long)mark->answer_start);
    wire->taken = mark->request_start;
    wire->sent = mark->answer_start;
    wire->skip_bytes = sent - mark->answer_start;
    atomic_store_explicit(&wire->state, wire->replay_bytes > 0 ? HTTP_WIRE_ACTIVE : HTTP_WIRE_IDLE,
                          memory_order_relaxed);
    return RC_OK;
}

enum rc http_wire_open(struct http_wire *wire, int fd, struct shm_journal_slot *slot, uint64_t connection_id,
                       struct err *err)
{
    *wire = (struct http_wire){.slot = slot};
    enum rc rc = make_table(err);
    if (rc != RC_OK)
        return rc;
    if ((size_t)fd >= wire_of_length)
        return err_set(err, RC_IO, "descriptor %d is beyond the limit", fd);
    if (!shm_journal_is_begun(slot, connection_id))
        shm_journal_begin(slot, connection_id);
    else
        rc = take_over(wire, fd, err);
    if (rc == RC_OK)
        atomic_store_explicit(&wire_of[fd], wire, memory_order_release);
    return rc;
}

void http_wire_close(int fd)
{
    if (fd >= 0 && (size_t)fd < wire_of_length)
        atomic_store_explicit(&wire_of[fd], NULL, memory_order_release);
}

/* ---- giving up ---- */

void http_wire_retire(void)
{
    atomic_store_explicit(&retiring, true, memory_order_relaxed);
}

bool http_wire_is_idle(struct http_wire *wire)
{
    return atomic_load_explicit(&wire->state, memory_order_relaxed) == HTTP_WIRE_IDLE;
}

bool http_wire_release(struct http_wire *wire)
{
    uint32_t idle = HTTP_WIRE_IDLE;
    return atomic_compare_exchange_strong(&wire->state, &idle, HTTP_WIRE_RELEASED);
}

bool http_wire_end(struct http_wire *wire)
{
    return atomic_exchange(&wire->state, HTTP_WIRE_ENDED) != HTTP_WIRE_RELEASED;
}

/* ---- answers ---- */

void http_wire_hold(struct http_wire *wire, uint64_t request_bytes)
{
    wire->held_bytes += request_bytes;
}

bool http_wire_advance(struct http_wire *wire, uint64_t request_bytes)
{
    if (wire->skip_bytes > 0)
        return false;
    uint64_t start = shm_journal_mark(wire->slot)->request_start + wire->held_bytes + request_bytes;
    wire->held_bytes = 0;
    shm_journal_advance(wire->slot, start < wire->taken ? start : wire->taken, wire->sent,
                        wire->taken + wire->replay_bytes);
    if (start >= wire->taken && wire->replay_bytes == 0)
        atomic_store_explicit(&wire->state, HTTP_WIRE_IDLE, memory_order_release);
    return true;
}

uint64_t http_wire_request_start(struct http_wire *wire)
{
    return shm_journal_mark(wire->slot)->request_start + wire->held_bytes;
}

int64_t http_wire_date_s(struct http_wire *wire)
{
    struct shm_journal_mark *mark = shm_journal_mark(wire->slot);
    if (atomic_load_explicit(&mark->date_s, memory_order_relaxed) == 0)
        atomic_store_explicit(&mark->date_s, time(NULL), memory_order_release);
    return atomic_load_explicit(&mark->date_s, memory_order_relaxed);
}

bool http_wire_closes(struct http_wire *wire, bool draining)
{
    struct shm_journal_mark *mark = shm_journal_mark(wire->slot);
    if (atomic_load_explicit(&mark->fingerprint, memory_order_acquire) == 0)
        atomic_store_explicit(&mark->closes, draining, memory_order_release);
    return atomic_load_explicit(&mark->closes, memory_order_relaxed) != 0;
}

bool http_wire_may_answer(struct http_wire *wire, uint64_t fingerprint, bool sized)
{
    struct shm_journal_mark *mark = shm_journal_mark(wire->slot);
    if (wire->skip_bytes > 0 && atomic_load_explicit(&mark->fingerprint, memory_order_acquire) != fingerprint)
        return false;
    atomic_store_explicit(&mark->framing, sized ? SHM_JOURNAL_SIZED : SHM_JOURNAL_STREAMED,
                          memory_order_relaxed);
    atomic_store_explicit(&mark->fingerprint, fingerprint, memory_order_release);
    return true;
}

enum shm_journal_framing http_wire_framing(struct http_wire *wire)
{
    if (wire->slot == NULL || wire->skip_bytes == 0) /* nothing of it has left: it may be framed anew */
        return SHM_JOURNAL_UNFRAMED;
    return (enum shm_journal_framing)atomic_load_explicit(&shm_journal_mark(wire->slot)->framing,
                                                          memory_order_relaxed);
}

/* ---- receiving ---- */

static ssize_t receive_replay(struct http_wire *wire, void *buffer, size_t length)
{
    size_t count = length < wire->replay_bytes ? length : wire->replay_bytes;
    memcpy(buffer, wire->replay, count);
    wire->replay += count;
    wire->replay_bytes -= count;
    wire->taken += count;
    return (ssize_t)count;
}

static ssize_t receive_kept(struct http_wire *wire, int fd, void *buffer, size_t length, int flags)
{
    uint8_t *to = NULL;
    size_t room = shm_journal_room(wire->slot, wire->taken, &to);
    if (room == 0) { /* said before, too: whoever dies in between must not be believed */
        uint64_t kept_from = atomic_load_explicit(&wire->slot->kept_from, memory_order_relaxed);
        shm_journal_lost(wire->slot, UINT64_MAX);
        ssize_t count = recvfrom(fd, buffer, length, flags, NULL, NULL);
        if (count > 0)
            wire->taken += (size_t)count;
        shm_journal_lost(wire->slot, count > 0 ? wire->taken : kept_from);
        return count;
    }
    ssize_t count = recvfrom(fd, to, length < room ? length : room, flags, NULL, NULL);
    if (count <= 0)
        return count;
    memcpy(buffer, to, (size_t)count);
    wire->taken += (size_t)count;
    if ((size_t)count < room || (size_t)count == length)
        return count;
    /* The room was too small, not the socket empty. Told less than it asked for, libmicrohttpd would wait for
     * the kernel to announce more, which it has done already. */
    ssize_t more = receive_kept(wire, fd, (char *)buffer + count, length - (size_t)count, flags);
    return more > 0 ? count + more : count;
}

/* Between two requests the connection may be given up at any moment by another thread. */
static ssize_t receive_first(struct http_wire *wire, int fd, void *buffer, size_t length, int flags)
{
    uint32_t idle = HTTP_WIRE_IDLE;
    if (atomic_load_explicit(&retiring, memory_order_relaxed) ||
        !atomic_compare_exchange_strong(&wire->state, &idle, HTTP_WIRE_ACTIVE)) {
        errno = EAGAIN;
        return -1;
    }
    ssize_t count = receive_kept(wire, fd, buffer, length, flags);
    if (count <= 0)
        atomic_store_explicit(&wire->state, HTTP_WIRE_IDLE, memory_order_release);
    return count;
}

ssize_t recv(int fd, void *buffer, size_t length, int flags)
{
    struct http_wire *wire = find_wire(fd);
    if (wire == NULL || (flags & MSG_PEEK) != 0)
        return recvfrom(fd, buffer, length, flags, NULL, NULL);
    if (wire->replay_bytes > 0)
        return receive_replay(wire, buffer, length);
    if (http_wire_is_idle(wire) ||
        atomic_load_explicit(&wire->state, memory_order_relaxed) == HTTP_WIRE_RELEASED)
        return receive_first(wire, fd, buffer, length, flags);
    return receive_kept(wire, fd, buffer, length, flags);
}

/* ---- sending ---- */

/* How much of `length` bytes the client has already. */
static size_t skip(struct http_wire *wire, size_t length)
{
    size_t count = wire->skip_bytes < length ? (size_t)wire->skip_bytes : length;
    wire->skip_bytes -= count;
    wire->sent += count;
    return count;
}

/* What send() says when `skipped` bytes were dropped and the system call for the rest said `count`. */
static ssize_t sent_in_all(struct http_wire *wire, size_t skipped, ssize_t count)
{
    if (count > 0)
        wire->sent += (size_t)count;
    if (skipped == 0)
        return count;
    return (ssize_t)skipped + (count > 0 ? count : 0); /* an error will show again in the next call */
}

ssize_t send(int fd, const void *data, size_t length, int flags)
{
    struct http_wire *wire = find_wire(fd);
    if (wire == NULL)
        return sendto(fd, data, length, flags, NULL, 0);
    size_t skipped = skip(wire, length);
    if (skipped == length && length > 0)
        return (ssize_t)length;
    return sent_in_all(wire, skipped,
                       sendto(fd, (const char *)data + skipped, length - skipped, flags, NULL, 0));
}

#define PARTS_AT_ONCE 64

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    struct http_wire *wire = find_wire(fd);
    if (wire == NULL || (wire->skip_bytes == 0 && message->msg_iovlen == 0))
        return syscall(SYS_sendmsg, fd, message, flags);
    if (wire->skip_bytes == 0)
        return sent_in_all(wire, 0, syscall(SYS_sendmsg, fd, message, flags));

    struct iovec part[PARTS_AT_ONCE];
    struct msghdr rest = {.msg_iov = part};
    size_t skipped = 0;
    for (size_t i = 0; i < message->msg_iovlen && rest.msg_iovlen < PARTS_AT_ONCE; i++) {
        const struct iovec *from = &message->msg_iov[i];
        size_t dropped = skip(wire, from->iov_len);
        skipped += dropped;
        if (dropped < from->iov_len)
            part[rest.msg_iovlen++] = (struct iovec){(char *)from->iov_base + dropped,
                                                     from->iov_len - dropped};
    }
    if (rest.msg_iovlen == 0)
        return (ssize_t)skipped;
    return sent_in_all(wire, skipped, syscall(SYS_sendmsg, fd, &rest, flags));
}

ssize_t sendfile64(int fd, int from_fd, off64_t *offset, size_t length)
{
    struct http_wire *wire = find_wire(fd);
    if (wire == NULL)
        return syscall(SYS_sendfile, fd, from_fd, offset, length);
    size_t skipped = offset != NULL ? skip(wire, length) : 0;
    if (skipped > 0)
        *offset += (off64_t)skipped;
    if (skipped == length && length > 0)
        return (ssize_t)length;
    return sent_in_all(wire, skipped, syscall(SYS_sendfile, fd, from_fd, offset, length - skipped));
}
