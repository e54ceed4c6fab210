/* player HOST PORT PREFIX LIST CONNECTIONS SECONDS PATIENCE_SECONDS [PER_SECOND]
 *
 * Plays a list of requests ("class<TAB>path" in each line) in its order over many keep-alive connections: whichever
 * connection is free takes the next line. After SECONDS nothing new is sent, but everything under way is waited for,
 * so that CPU time divided by answers is exact however slow the answers are. Prints one JSON object with the
 * latencies of each class apart, which wrk cannot tell; whatever is not answered after PATIENCE_SECONDS more counts
 * as unanswered. With PER_SECOND no more than so many lines are sent, at even distances: a load that does not grow
 * where answers are quick; all latencies are printed then, so that those of several runs can be put together. One
 * thread, IPv4 only.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/sched.h>
#include <linux/sched/types.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { MOST_CLASSES = 16, HEAD_BYTES = 16384, READ_BYTES = 262144 };

struct class
{
    char name[32];
    uint32_t *latency_us;
    size_t answers, room;
    uint64_t body_bytes, refused, failed;
};

struct line {
    struct class *class;
    char *message;
    size_t length_bytes;
};

enum body { BODY_COUNTED, BODY_CHUNK_SIZE, BODY_CHUNK, BODY_CHUNK_END, BODY_TRAILER };

struct connection {
    int fd;
    const struct line *line; /* NULL: idle */
    uint64_t sent_us;
    size_t head_bytes;
    bool in_body, closes;
    enum body body;
    uint64_t left_bytes, taken_bytes;
    int status;
    char head[HEAD_BYTES];
};

static struct class classes[MOST_CLASSES];
static size_t class_count;
static struct line *lines;
static size_t line_count, next_line;
static struct sockaddr_in address;
static int epoll_fd;
static uint64_t end_us, answers_in_time;
static size_t busy_count;
static double busy_us;  /* times requests under way, until the end */
static double pause_us; /* between two lines; 0: none */
static double due_us;
static uint64_t statuses[600];
static char buffer[READ_BYTES];

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

/* The list ---------------------------------------------------------------------------------------------------- */

static struct class *class_named(const char *name)
{
    for (size_t i = 0; i < class_count; i++)
        if (strcmp(classes[i].name, name) == 0)
            return &classes[i];
    if (class_count == MOST_CLASSES || strlen(name) >= sizeof classes[0].name) {
        fprintf(stderr, "too many classes, or too long a name: %s\n", name);
        exit(1);
    }
    strcpy(classes[class_count].name, name);
    return &classes[class_count++];
}

static void read_list(const char *file, const char *host, const char *prefix)
{
    FILE *list = fopen(file, "r");
    if (list == NULL)
        die(file);
    char text[4096];
    size_t room = 0;
    while (fgets(text, sizeof text, list) != NULL) {
        char *tab = strchr(text, '\t');
        if (tab == NULL)
            continue;
        *tab = '\0';
        tab[1 + strcspn(tab + 1, "\n")] = '\0';
        if (line_count == room) {
            room = room * 2 + 1024;
            lines = realloc(lines, room * sizeof *lines);
            if (lines == NULL)
                die("list");
        }
        struct line *line = &lines[line_count++];
        line->class = class_named(text);
        int length = asprintf(&line->message, "GET %s%s HTTP/1.1\r\nHost: %s\r\n\r\n", prefix, tab + 1, host);
        if (length < 0)
            die("list");
        line->length_bytes = (size_t)length;
    }
    fclose(list);
    if (line_count == 0) {
        fprintf(stderr, "%s holds no requests\n", file);
        exit(1);
    }
}

/* Connections ------------------------------------------------------------------------------------------------- */

static void connection_open(struct connection *connection)
{
    connection->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connection->fd < 0)
        die("socket");
    if (connect(connection->fd, (struct sockaddr *)&address, sizeof address) < 0) {
        close(connection->fd);
        connection->fd = -1;
        return;
    }
    setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, connection->fd, &event) < 0)
        die("epoll_ctl");
}

/* Sends the next line of the list, on a new connection where the old one is gone. Requests are far smaller than a
 * socket's buffer, so that a blocking send never waits. */
static void connection_ask(struct connection *connection)
{
    if (connection->line == NULL)
        busy_count++;
    connection->line = &lines[next_line++ % line_count];
    connection->sent_us = now_us();
    connection->head_bytes = 0;
    connection->in_body = connection->closes = false;
    connection->taken_bytes = 0;
    for (int attempt = 0; attempt < 3; attempt++) {
        if (connection->fd < 0)
            connection_open(connection);
        if (connection->fd >= 0 &&
            send(connection->fd, connection->line->message, connection->line->length_bytes, MSG_NOSIGNAL) ==
                (ssize_t)connection->line->length_bytes)
            return;
        if (connection->fd >= 0)
            close(connection->fd);
        connection->fd = -1;
    }
    connection->line->class->failed++;
    connection->line = NULL;
    busy_count--;
}

static void connection_next(struct connection *connection)
{
    if (connection->closes) {
        close(connection->fd);
        connection->fd = -1;
    }
    if (pause_us == 0 && now_us() < end_us) {
        connection_ask(connection);
    } else {
        connection->line = NULL;
        busy_count--;
    }
}

static void connection_answered(struct connection *connection)
{
    struct class *class = connection->line->class;
    uint64_t now = now_us();
    if (class->answers == class->room) {
        class->room = class->room * 2 + 4096;
        class->latency_us = realloc(class->latency_us, class->room * sizeof *class->latency_us);
        if (class->latency_us == NULL)
            die("latencies");
    }
    class->latency_us[class->answers++] = (uint32_t)(now - connection->sent_us);
    class->body_bytes += connection->taken_bytes;
    statuses[connection->status > 0 && connection->status < 600 ? connection->status : 0]++;
    if (connection->status != 200)
        class->refused++;
    if (now <= end_us)
        answers_in_time++;
    connection_next(connection);
}

static void connection_broke(struct connection *connection)
{
    close(connection->fd);
    connection->fd = -1;
    connection->closes = false;
    if (connection->line == NULL)
        return;
    connection->line->class->failed++;
    connection_next(connection);
}

/* Answers ----------------------------------------------------------------------------------------------------- */

static const char *field(const char *head, const char *name)
{
    const char *found = strcasestr(head, name);
    return found == NULL ? NULL : found + strlen(name) + strspn(found + strlen(name), " ");
}

/* Takes bytes up to the empty line; returns how many of them belonged to the head. */
static size_t take_head(struct connection *connection, const char *bytes, size_t length)
{
    size_t taken = 0;
    while (taken < length && connection->head_bytes < HEAD_BYTES - 1) {
        connection->head[connection->head_bytes++] = bytes[taken++];
        if (connection->head_bytes < 4 ||
            memcmp(connection->head + connection->head_bytes - 4, "\r\n\r\n", 4) != 0)
            continue;
        connection->head[connection->head_bytes] = '\0';
        const char *length_text = field(connection->head, "\r\nContent-Length:");
        const char *coding = field(connection->head, "\r\nTransfer-Encoding:");
        const char *option = field(connection->head, "\r\nConnection:");
        connection->status = atoi(connection->head + 9);
        connection->closes = option != NULL && strncasecmp(option, "close", 5) == 0;
        connection->body = coding != NULL ? BODY_CHUNK_SIZE : BODY_COUNTED;
        connection->left_bytes = length_text != NULL && coding == NULL ? strtoull(length_text, NULL, 10) : 0;
        connection->in_body = true;
        break;
    }
    return taken;
}

/* One step through a chunked body at `bytes`; true when the answer is complete. */
static bool take_chunked(struct connection *connection, const char *bytes, size_t length, size_t *taken)
{
    char at = bytes[*taken];
    if (connection->body == BODY_CHUNK) {
        uint64_t most = length - *taken;
        uint64_t part = connection->left_bytes < most ? connection->left_bytes : most;
        *taken += (size_t)part;
        connection->taken_bytes += part;
        connection->left_bytes -= part;
        if (connection->left_bytes == 0)
            connection->body = BODY_CHUNK_END;
        return false;
    }
    ++*taken;
    if (connection->body == BODY_CHUNK_SIZE) {
        const char *digits = "0123456789abcdef", *digit = at == '\0' ? NULL : strchr(digits, at | 0x20);
        if (digit != NULL)
            connection->left_bytes = connection->left_bytes * 16 + (uint64_t)(digit - digits);
        else if (at == '\n')
            connection->body = connection->left_bytes == 0 ? BODY_TRAILER : BODY_CHUNK;
        return false;
    }
    if (connection->body == BODY_CHUNK_END) {
        if (at == '\n')
            connection->body = BODY_CHUNK_SIZE;
        return false;
    }
    return at == '\n'; /* no server here sends trailers */
}

static void connection_read(struct connection *connection)
{
    ssize_t length = recv(connection->fd, buffer, sizeof buffer, MSG_DONTWAIT);
    if (length < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (length <= 0 || connection->line == NULL) {
        connection_broke(connection);
        return;
    }
    size_t taken = 0, all = (size_t)length;
    if (!connection->in_body)
        taken = take_head(connection, buffer, all);
    bool is_complete = false;
    while (connection->in_body && connection->body != BODY_COUNTED && taken < all && !is_complete)
        is_complete = take_chunked(connection, buffer, all, &taken);
    if (connection->in_body && connection->body == BODY_COUNTED) {
        connection->taken_bytes += all - taken;
        is_complete = connection->taken_bytes >= connection->left_bytes;
    }
    if (is_complete)
        connection_answered(connection);
    else if (!connection->in_body && connection->head_bytes == HEAD_BYTES - 1)
        connection_broke(connection);
}

/* Figures ----------------------------------------------------------------------------------------------------- */

static int by_value(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    return (a > b) - (a < b);
}

static double percentile_ms(const struct class *class, double share)
{
    if (class->answers == 0)
        return 0;
    size_t at = (size_t)((double)(class->answers - 1) * share);
    return class->latency_us[at] / 1e3;
}

static void print_class(struct class *class)
{
    qsort(class->latency_us, class->answers, sizeof *class->latency_us, by_value);
    printf("{\"answers\": %zu, \"refused\": %llu, \"failed\": %llu, \"bytes\": %llu, \"p50_ms\": %.3f, "
           "\"p99_ms\": %.3f, \"max_ms\": %.3f}",
           class->answers, (unsigned long long)class->refused, (unsigned long long)class->failed,
           (unsigned long long)class->body_bytes, percentile_ms(class, 0.5), percentile_ms(class, 0.99),
           percentile_ms(class, 1));
}

static void count_busy(uint64_t *at_us)
{
    uint64_t now = now_us() < end_us ? now_us() : end_us;
    if (now > *at_us) {
        busy_us += (double)busy_count * (double)(now - *at_us);
        *at_us = now;
    }
}

static void print_all(double seconds, size_t unanswered)
{
    struct class all = {.name = "all"};
    for (size_t i = 0; i < class_count; i++) {
        all.answers += classes[i].answers;
        all.refused += classes[i].refused;
        all.failed += classes[i].failed;
        all.body_bytes += classes[i].body_bytes;
    }
    all.latency_us = malloc((all.answers + 1) * sizeof *all.latency_us);
    if (all.latency_us == NULL)
        die("latencies");
    size_t at = 0;
    for (size_t i = 0; i < class_count; i++) {
        if (classes[i].answers > 0)
            memcpy(all.latency_us + at, classes[i].latency_us, classes[i].answers * sizeof *all.latency_us);
        at += classes[i].answers;
    }
    printf(
        "{\"seconds\": %.6f, \"answers_in_time\": %llu, \"unanswered\": %zu, \"under_way\": %.2f, \"all\": ",
        seconds, (unsigned long long)answers_in_time, unanswered, busy_us / seconds / 1e6);
    print_class(&all);
    for (size_t i = 0; i < all.answers && pause_us > 0; i++)
        printf("%s%u", i > 0 ? ", " : ", \"latencies_us\": [", all.latency_us[i]);
    printf("%s, \"statuses\": {", pause_us > 0 && all.answers > 0 ? "]" : "");
    for (size_t i = 0, printed = 0; i < sizeof statuses / sizeof statuses[0]; i++)
        if (statuses[i] > 0)
            printf("%s\"%zu\": %llu", printed++ > 0 ? ", " : "", i, (unsigned long long)statuses[i]);
    printf("}, \"classes\": {");
    for (size_t i = 0; i < class_count; i++) {
        printf("%s\"%s\": ", i > 0 ? ", " : "", classes[i].name);
        print_class(&classes[i]);
    }
    printf("}}\n");
    free(all.latency_us);
}

/* Sends what is due, over connections that are idle. Returns how long to wait, in ms. */
static int ask_due(struct connection *connections, size_t count)
{
    uint64_t now = now_us();
    for (size_t i = 0; i < count && now < end_us && due_us <= (double)now; i++)
        if (connections[i].line == NULL) {
            connection_ask(&connections[i]);
            due_us += pause_us;
        }
    return 1;
}

int main(int argc, char **argv)
{
    if (argc != 8 && argc != 9) {
        fprintf(stderr, "usage: %s HOST PORT PREFIX LIST CONNECTIONS SECONDS PATIENCE_SECONDS [PER_SECOND]\n",
                argv[0]);
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    /* What is measured is not how long this program waits for its turn. Whoever gave it a real-time priority has seen to that. */
    struct sched_attr attributes = {.size = sizeof attributes, .sched_runtime = 100000};
    if (syscall(SYS_sched_getscheduler, 0) == SCHED_NORMAL)
        syscall(SYS_sched_setattr, 0, &attributes, 0);
    address.sin_family = AF_INET;
    address.sin_port = htons((uint16_t)atoi(argv[2]));
    if (inet_pton(AF_INET, argv[1], &address.sin_addr) != 1)
        die(argv[1]);
    read_list(argv[4], argv[1], argv[3]);
    size_t count = (size_t)atoi(argv[5]);
    struct connection *connections = calloc(count, sizeof *connections);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (connections == NULL || epoll_fd < 0)
        die("connections");
    for (size_t i = 0; i < count; i++)
        connection_open(&connections[i]);

    uint64_t start_us = now_us();
    end_us = start_us + (uint64_t)(atof(argv[6]) * 1e6);
    uint64_t last_us = end_us + (uint64_t)(atof(argv[7]) * 1e6);
    pause_us = argc == 9 ? 1e6 / atof(argv[8]) : 0;
    due_us = (double)start_us;
    uint64_t counted_us = start_us;
    for (size_t i = 0; i < count && pause_us == 0; i++)
        connection_ask(&connections[i]);
    while ((busy_count > 0 || (pause_us > 0 && now_us() < end_us)) && now_us() < last_us) {
        struct epoll_event events[256];
        int wait_ms = pause_us > 0 ? ask_due(connections, count) : 100;
        count_busy(&counted_us);
        int ready = epoll_wait(epoll_fd, events, 256, wait_ms);
        count_busy(&counted_us);
        for (int i = 0; i < ready; i++)
            connection_read(events[i].data.ptr);
    }
    print_all((double)(end_us - start_us) / 1e6, busy_count);
    return 0;
}
