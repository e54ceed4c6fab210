#include "worker/converter.h"

#include "base/clock.h"
#include "base/fdio.h"
#include "base/log.h"
#include "base/own.h"
#include "worker/box.h"
#include "worker/heritage.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>

#define SAY_EVERY_MS 100

struct converter {
    int channel;
    int64_t said_ms; /* when progress was last told */
    bool is_orphan;
};

/* False when the other side is gone. Progress that finds the channel full is not told. */
static bool say(struct converter *converter, const struct worker_conversion_message *message,
                bool must_be_told)
{
    for (;;) {
        struct err err;
        enum rc rc = fdio_send(converter->channel, message, sizeof *message, -1, &err);
        if (rc == RC_OK || (rc == RC_BUSY && !must_be_told))
            return true;
        struct pollfd wait = {.fd = converter->channel, .events = POLLOUT};
        if (rc != RC_BUSY || (poll(&wait, 1, -1) < 0 && errno != EINTR))
            return false;
    }
}

static bool on_progress(void *context, struct image_size size, uint32_t rows_done)
{
    struct converter *converter = context;
    int64_t now_ms = clock_monotonic_ms();
    if (now_ms - converter->said_ms < SAY_EVERY_MS)
        return true;
    struct worker_conversion_message message;
    memset(&message, 0, sizeof message);
    message.kind = WORKER_PROGRESS;
    message.size = size;
    message.rows_done = rows_done;
    converter->said_ms = now_ms;
    converter->is_orphan = !say(converter, &message, false);
    return !converter->is_orphan;
}

/* Opens what the box shall let through, and enters it. */
static enum rc enter_box(const struct worker_conversion *conversion, struct err *err)
{
    const char *slash = strrchr(conversion->destination, '/'), *note = NULL;
    OWN_FREE char *folder = slash != NULL ? strndup(conversion->destination,
                                                    slash == conversion->destination
                                                        ? 1
                                                        : (size_t)(slash - conversion->destination))
                                          : strdup(".");
    if (folder == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for the folder's name");
    OWN_FD int source_fd = open(conversion->source, O_PATH | O_CLOEXEC);
    if (source_fd < 0)
        return err_set_errno(err, errno == ENOENT ? RC_NOT_FOUND : RC_IO, errno, "the file cannot be opened");
    OWN_FD int folder_fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (folder_fd < 0)
        return err_set_errno(err, RC_IO, errno, "the destination's folder cannot be opened");
    return worker_box_enter_converter(conversion->settings, source_fd, folder_fd, &note, err);
}

/* The channel becomes descriptor 3, everything above it is closed. Returns it, -1 when that fails. */
static int keep_only(int channel)
{
    if (channel != 3 && dup3(channel, 3, O_CLOEXEC) < 0)
        return -1;
    return close_range(4, ~0u, 0) == 0 ? 3 : -1;
}

int worker_converter_run(const struct worker_conversion *conversion)
{
    struct converter converter = {.channel = keep_only(conversion->channel)};
    if (converter.channel < 0)
        return WORKER_EXIT_FAILED;
    signal(SIGINT, SIG_IGN); /* the terminal sends it to all; who started us decides */
    signal(SIGPIPE, SIG_IGN);
    signal(SIGTERM, SIG_DFL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);

    struct worker_conversion_message message;
    struct err err = {0};
    memset(&message, 0, sizeof message);
    message.kind = WORKER_RESULT;
    enum rc rc = enter_box(conversion, &err);
    if (rc == RC_OK)
        rc = ingest_convert(conversion->source, conversion->destination, &conversion->options, on_progress,
                            &converter, &message.result, &err);
    if (converter.is_orphan)
        return WORKER_EXIT_ORPHAN;
    message.rc = (int32_t)rc;
    if (rc != RC_OK) {
        message.os_errno = err.os_errno;
        memcpy(message.message, err.message, sizeof message.message);
    }
    return say(&converter, &message, true) ? WORKER_EXIT_DONE : WORKER_EXIT_ORPHAN;
}

static bool is_ended(const char *text, size_t capacity)
{
    return memchr(text, '\0', capacity) != NULL;
}

/* A byte that says neither yes nor no is no bool. */
static bool is_truth(const bool *value)
{
    uint8_t byte;
    memcpy(&byte, value, sizeof byte);
    return byte <= 1;
}

bool worker_converter_check(const struct worker_conversion_message *message, size_t length)
{
    if (length != sizeof *message)
        return false;
    if (message->kind == WORKER_PROGRESS)
        return message->rows_done <= message->size.height_px;
    const struct ingest_result *result = &message->result;
    bool is_sound = (message->kind == WORKER_RESULT || message->kind == WORKER_UNCHANGED) &&
                    message->rc >= RC_OK && message->rc <= RC_CANCELLED &&
                    is_ended(message->message, sizeof message->message) &&
                    is_ended(result->model, sizeof result->model) &&
                    is_ended(result->source_profile, sizeof result->source_profile) &&
                    is_ended(result->profile, sizeof result->profile) &&
                    result->warning_count <= INGEST_MAX_WARNINGS && is_truth(&result->big_tiff);
    for (unsigned i = 0; is_sound && i < result->warning_count; i++)
        is_sound = is_ended(result->warning[i], sizeof result->warning[i]);
    return is_sound;
}
