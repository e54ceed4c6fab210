/* What a person sees of a batch: a bar on a terminal, a line per file elsewhere.
 *
 * The bar is the terminal's last line and is drawn anew in place; lines are printed above it. Everything goes
 * to one descriptor, each line by one write(). Used by the process that owns the batch. */
#ifndef WORKER_INGEST_PROGRESS_H
#define WORKER_INGEST_PROGRESS_H

#include "base/bytes.h"

#include <stdbool.h>
#include <stdint.h>

struct ingest_figures {
    size_t files, ended, failed; /* ended: made, unchanged or failed */
    double pixels;               /* made in this run, of files under way too */
    double bytes, bytes_ended;   /* of sources to convert, and how much of that is behind us */
    int64_t elapsed_ms;
};

struct ingest_progress {
    int fd;
    bool is_terminal;
    bool has_bar;
};

/* Writes to `fd`, and a bar only where that is a terminal. */
void ingest_progress_init(struct ingest_progress *progress, int fd);

/* Draws the bar anew; does nothing where there is no terminal. */
void ingest_progress_draw(struct ingest_progress *progress, const struct ingest_figures *figures);
/* One line of text, without its end; above the bar. */
void ingest_progress_line(struct ingest_progress *progress, const char *text);
/* Takes the bar away. */
void ingest_progress_clear(struct ingest_progress *progress);

/* The bar's text for a terminal of so many columns; never wider. Pure. */
RC_MUST_USE enum rc ingest_progress_bar(const struct ingest_figures *figures, unsigned columns,
                                        struct bytes *out, struct err *err);
/* "7 s", "2:05" or "3:02:05". Pure. */
#define INGEST_PROGRESS_TIME_BYTES 32
void ingest_progress_time(double seconds, char ret_text[INGEST_PROGRESS_TIME_BYTES]);

#endif
