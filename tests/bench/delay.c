/* delay PORT TO_PORT MILLISECONDS
 *
 * Stands before a server on this machine and passes on what clients send only after so many milliseconds; what the server answers
 * passes at once. Costs next to nothing, so that a store can be made slow without making the machine slow. One thread, IPv4,
 * until it is killed. Says "ready" when it listens.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { PIECE_BYTES = 65536 };

struct end {
    int fd;
    bool is_client;
    struct end *other;
    bool is_gone;
};

struct piece {
    struct piece *next;
    uint64_t due_us;
    struct end *from;
    size_t length;
    char data[];
};

static struct piece *first, **last = &first;
static int epoll_fd;
static char buffer[PIECE_BYTES];

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static uint64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void watch(int fd, void *whose)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = whose};
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
        die("epoll_ctl");
}

/* Sockets here are blocking: an answer that its client does not take holds up all others, which the servers under test never do. */
static bool pass_on(int fd, const char *data, size_t length)
{
    while (length > 0) {
        ssize_t count = send(fd, data, length, MSG_NOSIGNAL);
        if (count <= 0)
            return false;
        data += count;
        length -= (size_t)count;
    }
    return true;
}

/* Both ends; their memory stays until nothing is on its way any more. */
static void end_both(struct end *end)
{
    struct end *client = end->is_client ? end : end->other;
    if (!client->is_gone) {
        close(client->fd);
        close(client->other->fd);
        client->is_gone = client->other->is_gone = true;
    }
}

static void take(int listener, const struct sockaddr_in *to)
{
    struct end *client = calloc(1, sizeof *client), *server = calloc(1, sizeof *server);
    if (client == NULL || server == NULL)
        die("memory");
    *client = (struct end){.fd = accept(listener, NULL, NULL), .is_client = true, .other = server};
    *server = (struct end){.fd = socket(AF_INET, SOCK_STREAM, 0), .other = client};
    if (client->fd < 0 || server->fd < 0 || connect(server->fd, (const struct sockaddr *)to, sizeof *to) < 0)
        die("connection");
    watch(client->fd, client);
    watch(server->fd, server);
}

static void hear(struct end *end, uint64_t delay_us)
{
    if (end->is_gone)
        return;
    ssize_t count = recv(end->fd, buffer, sizeof buffer, MSG_DONTWAIT);
    if (count < 0 && errno == EAGAIN)
        return;
    if (count <= 0 || (!end->is_client && !pass_on(end->other->fd, buffer, (size_t)count))) {
        end_both(end);
        return;
    }
    if (!end->is_client)
        return;
    struct piece *piece = malloc(sizeof *piece + (size_t)count);
    if (piece == NULL)
        die("memory");
    *piece = (struct piece){.due_us = now_us() + delay_us, .from = end, .length = (size_t)count};
    memcpy(piece->data, buffer, (size_t)count);
    *last = piece;
    last = &piece->next;
}

static int send_due(void)
{
    uint64_t now = now_us();
    while (first != NULL && first->due_us <= now) {
        struct piece *piece = first;
        first = piece->next;
        if (first == NULL)
            last = &first;
        if (!piece->from->is_gone && !pass_on(piece->from->other->fd, piece->data, piece->length))
            end_both(piece->from);
        free(piece);
    }
    return first == NULL ? -1 : (int)((first->due_us - now + 999) / 1000);
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: %s PORT TO_PORT MILLISECONDS\n", argv[0]);
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}, to = at;
    at.sin_port = htons((uint16_t)atoi(argv[1]));
    to.sin_port = htons((uint16_t)atoi(argv[2]));
    uint64_t delay_us = (uint64_t)(atof(argv[3]) * 1e3);
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    epoll_fd = epoll_create1(0);
    if (listener < 0 || epoll_fd < 0 || bind(listener, (struct sockaddr *)&at, sizeof at) < 0 || listen(listener, 1024) < 0)
        die("listen");
    watch(listener, NULL);
    puts("ready");
    fflush(stdout);
    for (;;) {
        struct epoll_event events[256];
        int ready = epoll_wait(epoll_fd, events, 256, send_due());
        for (int i = 0; i < ready; i++)
            if (events[i].data.ptr == NULL)
                take(listener, &to);
            else
                hear(events[i].data.ptr, delay_us);
    }
}
