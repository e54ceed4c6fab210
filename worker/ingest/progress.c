#include "worker/ingest/progress.h"

#include "base/fdio.h"
#include "base/own.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#define COLUMNS_WHEN_UNKNOWN 80
#define BAR_LEAST_COLUMNS    10
#define BAR_MOST_COLUMNS     40
#define SECONDS_MOST         (1000.0 * 3600)

void ingest_progress_time(double seconds, char ret_text[INGEST_PROGRESS_TIME_BYTES])
{
    long whole = (long)((seconds < SECONDS_MOST ? seconds : SECONDS_MOST) + 0.5);
    if (whole < 60)
        snprintf(ret_text, INGEST_PROGRESS_TIME_BYTES, "%ld s", whole);
    else if (whole < 3600)
        snprintf(ret_text, INGEST_PROGRESS_TIME_BYTES, "%ld:%02ld", whole / 60, whole % 60);
    else
        snprintf(ret_text, INGEST_PROGRESS_TIME_BYTES, "%ld:%02ld:%02ld", whole / 3600, whole / 60 % 60,
                 whole % 60);
}

static enum rc bar_figures(const struct ingest_figures *figures, double part, struct bytes *out,
                           struct err *err)
{
    double elapsed_s = (double)figures->elapsed_ms / 1000;
    char left[INGEST_PROGRESS_TIME_BYTES];
    enum rc rc = bytes_format(out, err, "%zu/%zu files", figures->ended, figures->files);
    if (rc == RC_OK && elapsed_s > 0)
        rc = bytes_format(out, err, "  %.1f Mpx/s", figures->pixels / 1e6 / elapsed_s);
    if (rc == RC_OK && part > 0 && part < 1 && elapsed_s >= 1) {
        ingest_progress_time(elapsed_s * (1 - part) / part, left);
        rc = bytes_format(out, err, "  %s left", left);
    }
    if (rc == RC_OK && figures->failed > 0)
        rc = bytes_format(out, err, "  %zu failed", figures->failed);
    return rc;
}

enum rc ingest_progress_bar(const struct ingest_figures *figures, unsigned columns, struct bytes *out,
                            struct err *err)
{
    double part = figures->bytes > 0 ? figures->bytes_ended / figures->bytes : 0;
    part = part < 0 ? 0 : part > 1 ? 1 : part;
    OWN(bytes_done) struct bytes text = {0};
    enum rc rc = bar_figures(figures, part, &text, err);
    if (rc != RC_OK)
        return rc;
    size_t room = columns > text.length + 4 ? columns - text.length - 4 : 0; /* [ ] and two spaces */
    if (room > BAR_MOST_COLUMNS)
        room = BAR_MOST_COLUMNS;
    if (room >= BAR_LEAST_COLUMNS) {
        size_t full = (size_t)(part * (double)room);
        for (size_t i = 0; i < room + 4 && rc == RC_OK; i++)
            rc = bytes_append(out,
                              i == 0          ? "["
                              : i == room + 1 ? "]"
                              : i > room + 1  ? " "
                              : i <= full     ? "#"
                                              : "-",
                              1, err);
    }
    size_t length = text.length < columns ? text.length : columns;
    return rc == RC_OK ? bytes_append(out, text.data, length, err) : rc;
}

void ingest_progress_init(struct ingest_progress *progress, int fd)
{
    *progress = (struct ingest_progress){.fd = fd, .is_terminal = isatty(fd) == 1};
}

/* Who reads this may be gone; the batch goes on. */
static void say(const struct ingest_progress *progress, const struct bytes *text)
{
    struct err ignored;
    (void)!fdio_write_all(progress->fd, text->data, text->length, &ignored);
}

#define TO_LINE_START "\r\x1b[K"

void ingest_progress_draw(struct ingest_progress *progress, const struct ingest_figures *figures)
{
    struct winsize size = {0};
    OWN(bytes_done) struct bytes text = {0};
    if (!progress->is_terminal)
        return;
    bool is_known = ioctl(progress->fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 1;
    /* One column less: a full line would move the cursor to the next on some terminals. */
    unsigned columns = is_known ? size.ws_col - 1u : COLUMNS_WHEN_UNKNOWN - 1;
    if (bytes_append(&text, TO_LINE_START, strlen(TO_LINE_START), NULL) == RC_OK &&
        ingest_progress_bar(figures, columns, &text, NULL) == RC_OK) {
        say(progress, &text);
        progress->has_bar = true;
    }
}

void ingest_progress_clear(struct ingest_progress *progress)
{
    OWN(bytes_done) struct bytes text = {0};
    if (progress->has_bar && bytes_append(&text, TO_LINE_START, strlen(TO_LINE_START), NULL) == RC_OK)
        say(progress, &text);
    progress->has_bar = false;
}

void ingest_progress_line(struct ingest_progress *progress, const char *line)
{
    OWN(bytes_done) struct bytes text = {0};
    if (bytes_format(&text, NULL, "%s%s\n", progress->has_bar ? TO_LINE_START : "", line) == RC_OK)
        say(progress, &text);
    progress->has_bar = false;
}
